"""What runs inside Redis: each script is one atomic step."""

import hashlib

# KEYS stream, meta. ARGV channel, name, lease, first id, seconds to live, then packed events.
APPEND_DURABLE = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease'))
if not lease then return 'lost' end
if lease > tonumber(ARGV[3]) then return 'stale' end
if lease < tonumber(ARGV[3]) then return 'lost' end
local head = tonumber(redis.call('HGET', KEYS[2], 'head') or '0')
local seq = tonumber(ARGV[4])
if seq > head + 1 or (head > 0 and redis.call('EXISTS', KEYS[1]) == 0) then return 'lost' end
for i = 6, #ARGV do
  if seq > head then
    redis.call('XADD', KEYS[1], string.format('%.0f-0', seq), 'e', ARGV[i])
    head = seq
  end
  seq = seq + 1
end
redis.call('HSET', KEYS[2], 'head', string.format('%.0f', head))
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream, meta. ARGV lease, seconds to live. The head, or -1: a newer lease exists.
FENCE = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[1]) then return -1 end
redis.call('HSET', KEYS[2], 'lease', ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[2], 'head', '0') end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return tonumber(redis.call('HGET', KEYS[2], 'head') or '0')
"""

# KEYS stream, meta, prepared copy. ARGV channel, name, lease, head. Readers never see a shorter stream in between.
SEED = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[3]) then redis.call('DEL', KEYS[3]) return 'stale' end
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('HSET', KEYS[2], 'lease', ARGV[3], 'head', ARGV[4])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream, meta. ARGV channel, name, lease, then packed events from id 1 on. SEED in one step, for short streams.
SEED_SHORT = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[3]) then return 'stale' end
redis.call('DEL', KEYS[1])
for i = 4, #ARGV do redis.call('XADD', KEYS[1], string.format('%.0f-0', i - 3), 'e', ARGV[i]) end
redis.call('HSET', KEYS[2], 'lease', ARGV[3], 'head', string.format('%.0f', #ARGV - 3))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream. ARGV channel, name, about how many to keep, seconds to live, then packed events.
APPEND = """
local ids = {}
for i = 5, #ARGV do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return ids
"""

# KEYS stream, meta. ARGV cursor, limit. {exists, head, entries}
READ_DURABLE = """
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {redis.call('EXISTS', KEYS[1]), tonumber(redis.call('HGET', KEYS[2], 'head') or '0'), entries}
"""

# KEYS stream. ARGV cursor, limit, oldest age as milliseconds since the epoch. {exists, reason ('' means continuous), entries}
# A cursor is continuous when its event is still here, or it is the last id ever given out, or it is
# 0-0 and nothing was ever removed.
READ = """
local cursor, limit = ARGV[1], tonumber(ARGV[2])
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
local entries = redis.call('XRANGE', KEYS[1], cursor, '+', 'COUNT', limit + 1)
if #entries > 0 and entries[1][1] == cursor then
  table.remove(entries, 1)
  return {1, '', entries}
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0, cursor == '0-0' and '' or 'expired', {}}
end
local raw, info = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for i = 1, #raw, 2 do info[raw[i]] = raw[i + 1] end
if info['last-generated-id'] == cursor then return {1, '', {}} end
local trimmed = info['entries-added'] > info['length']
if cursor == '0-0' then
  if #entries > limit then table.remove(entries) end
  return {1, trimmed and 'trimmed' or '', entries}
end
local reason = 'unknown_cursor'
local first = info['first-entry']
if trimmed and #entries > 0 and first and entries[1][1] == first[1] then reason = 'trimmed' end
if trimmed and tonumber(string.match(cursor, '^%d+')) < tonumber(ARGV[3]) then reason = 'expired' end
return {1, reason, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', limit)}
"""

# KEYS stream. The last id ever given out.
HEAD = """
if redis.call('EXISTS', KEYS[1]) == 0 then return '0-0' end
local raw = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #raw, 2 do if raw[i] == 'last-generated-id' then return raw[i + 1] end end
"""

# KEYS stream, memory of the key. ARGV channel, name, about how many to keep, seconds to live, seconds to remember, packed event.
# An event with the same key is appended once: a sender that does not know whether it was heard may say it again.
APPEND_ONCE = """
local known = redis.call('GET', KEYS[2])
if known then return known end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], id, 'EX', ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return id
"""

# KEYS slots, replays. ARGV member, most slots, milliseconds a slot lives, most replays (0: not counted), window in milliseconds.
# {0, ''} or {milliseconds to wait, what is used up}. A refusal counts for nothing: else who retries is never let in again.
ADMIT = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local most, replays = tonumber(ARGV[2]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then return {2000, 'concurrent'} end
if replays > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[5])
  if redis.call('ZCARD', KEYS[2]) >= replays then
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    return {oldest[2] + ARGV[5] - now + 1, 'replays'}
  end
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {0, ''}
"""

# KEYS slots. ARGV milliseconds a slot lives, members. Also puts back what a wiped broker forgot.
KEEP_SLOTS = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""

# KEYS slots. ARGV member.
RELEASE_SLOT = """
return redis.call('ZREM', KEYS[1], ARGV[1])
"""

# Named by their hash at every call, and sent whole only to a broker that has not seen them: redis-py's own
# scripts ask SCRIPT EXISTS before every pipeline, which is a second round trip.
HASHES = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    for script in (
        APPEND_DURABLE,
        FENCE,
        SEED,
        SEED_SHORT,
        APPEND,
        APPEND_ONCE,
        READ_DURABLE,
        READ,
        HEAD,
        ADMIT,
        KEEP_SLOTS,
        RELEASE_SLOT,
    )
}

"""What runs inside Redis: each script is one atomic step."""

import hashlib
from typing import Any

Call = tuple[str, list[str], list[Any]]
"""A script with its keys and arguments."""

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
redis.call('SPUBLISH', ARGV[1], ARGV[2])
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
redis.call('SPUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream, meta. ARGV channel, name, lease, then packed events from id 1 on. SEED in one step, for short streams.
SEED_SHORT = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[3]) then return 'stale' end
redis.call('DEL', KEYS[1])
for i = 4, #ARGV do redis.call('XADD', KEYS[1], string.format('%.0f-0', i - 3), 'e', ARGV[i]) end
redis.call('HSET', KEYS[2], 'lease', ARGV[3], 'head', string.format('%.0f', #ARGV - 3))
redis.call('SPUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream. ARGV channel, name, about how many to keep, seconds to live, then packed events.
APPEND = """
local ids = {}
for i = 5, #ARGV do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('SPUBLISH', ARGV[1], ARGV[2])
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
redis.call('SPUBLISH', ARGV[1], ARGV[2])
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

# Places: KEYS leases of the place, its users, places by the time at which their next lease ends. A lease is written
# `connection user`, a user has as many connections as its number says. Both are removed in the same step as the last
# lease, so of all who ask one learns that a user has left.
_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function note_next(place)
  local next = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if next[2] then redis.call('ZADD', KEYS[3], next[2], place) else redis.call('ZREM', KEYS[3], place) end
end
local function remove(lease)
  if redis.call('ZREM', KEYS[1], lease) == 0 then return false end
  local user = string.match(lease, '^%S+ (.*)$')
  if redis.call('HINCRBY', KEYS[2], user, -1) > 0 then return false end
  redis.call('HDEL', KEYS[2], user)
  return user
end
"""

# What HOLD and LET_GO share. KEYS ..., epoch, settling. ARGV place, milliseconds a lease lives, the epoch that the caller
# knows, then leases. Someone who knows another epoch shows that everything was forgotten: until all have had the time to
# hold their leases again, nobody is said to have left.
_EPOCH = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('SET', KEYS[4], string.format('%.0f', now)) end
local epoch = redis.call('GET', KEYS[4])
if ARGV[3] ~= '' and ARGV[3] ~= epoch then redis.call('SET', KEYS[5], '1', 'PX', ARGV[2]) end
local function put(lease)
  if redis.call('ZADD', KEYS[1], now + ARGV[2], lease) == 0 then return 0 end
  return redis.call('HINCRBY', KEYS[2], string.match(lease, '^%S+ (.*)$'), 1) == 1 and 1 or 0
end
local function finish(answer)
  note_next(ARGV[1])
  -- For the case that no process is left to sweep.
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], 3600) end
  return answer
end
"""
)

# {epoch, for each lease 1 when its user is new}
HOLD = (
    _EPOCH
    + """
local answer = {epoch}
for i = 4, #ARGV do answer[#answer + 1] = put(ARGV[i]) end
return finish(answer)
"""
)

# For each lease 1 when it was its user's last. Those of a broker that has forgotten things are left to run out.
LET_GO = (
    _EPOCH
    + """
local answer = {}
local settling = redis.call('EXISTS', KEYS[5]) == 1
for i = 4, #ARGV do
  if settling then put(ARGV[i]) end
  answer[#answer + 1] = not settling and remove(ARGV[i]) and 1 or 0
end
return finish(answer)
"""
)

# ARGV place, most leases to look at. The users who left with leases that have run out.
TAKE_OUT = (
    _NOW
    + """
local left = {}
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local user = remove(lease)
  if user then left[#left + 1] = user end
end
note_next(ARGV[1])
return left
"""
)

# KEYS places. ARGV most. The places in which leases have run out.
DUE = """
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000), 'LIMIT', 0, ARGV[1])
"""

# KEYS users of a place. ARGV most. {how many, some of them}
HERE = """
return {redis.call('HLEN', KEYS[1]), redis.call('HRANDFIELD', KEYS[1], ARGV[1])}
"""

# KEYS boards by the time at which they end, tables. ARGV owner, milliseconds to live, 1: whole, then for each table
# how many fields to set, the fields and values, how many to remove, the fields.
POST = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local whole = ARGV[3] == '1'
if not whole and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local at = 4
for i = 2, #KEYS do
  if whole then redis.call('DEL', KEYS[i]) end
  local last = at + 2 * ARGV[at]
  for j = at + 1, last, 2 do redis.call('HSET', KEYS[i], ARGV[j], ARGV[j + 1]) end
  at = last + 1
  last = at + ARGV[at]
  for j = at + 1, last do redis.call('HDEL', KEYS[i], ARGV[j]) end
  at = last + 1
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS boards. The owners whose board has not run out.
OWNERS = """
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), '+inf')
"""

# KEYS table.
TABLE = """
return redis.call('HGETALL', KEYS[1])
"""

# KEYS boards, tables. ARGV owner.
TAKE_DOWN = """
redis.call('ZREM', KEYS[1], ARGV[1])
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
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
        HOLD,
        LET_GO,
        TAKE_OUT,
        DUE,
        HERE,
        POST,
        OWNERS,
        TABLE,
        TAKE_DOWN,
    )
}

# ruff: noqa: E501 - as it is found
"""HTML as it is found: over forty documents after what editors, mail programs, generators and people really write."""

PARAGRAPH = "Prices are fixed for the term of this agreement. They may be reviewed once a year. Both parties agree in writing."

DOCUMENTS: dict[str, str] = {
    "contract": """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Service agreement &mdash; Acme</title>
  <style>p > b { color: red } /* </p> */</style>
</head>
<body class="doc">
  <h1>Service agreement</h1>
  <p>Between <b>Acme Ltd</b> and <i>the Client</i>, dated 1&nbsp;May&nbsp;2026.</p>
  <h2>1. Services</h2>
  <p>Acme provides hosting. Acme also provides support. Support is by e-mail. Answers come within a day.</p>
  <ol>
    <li>Hosting</li>
    <li>Support
      <ul>
        <li>by mail</li>
        <li>by phone</li>
      </ul>
    </li>
  </ol>
  <h2>2. Payment</h2>
  <p>Fees are due in 30 days.</p>
  <table class="fees">
    <caption>Fees</caption>
    <thead><tr><th>Item</th><th>Fee</th></tr></thead>
    <tbody>
      <tr><td>Hosting</td><td>&euro;10</td></tr>
      <tr><td>Support</td><td>&euro;20</td></tr>
    </tbody>
  </table>
  <footer><p>&copy; Acme</p></footer>
</body>
</html>
""",
    "newsletter": """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><!--[if mso]><xml><o:OfficeDocumentSettings/></xml><![endif]--></head>
<body style="margin:0;padding:0" bgcolor="#ffffff"><center><table width="100%" cellpadding="0"><tr><td align="center">
<!--[if (gte mso 9)|(IE)]><table width="600"><tr><td><![endif]-->
<table class="inner" width="600"><tr><td style="font-size:18px;line-height:1.4">Dear reader,<br/><br/>our autumn sale begins.
<a href="https://example.org/?utm_source=mail&amp;x=1" style="color:#06c">Have a look</a></td></tr>
<tr><td><img src="https://example.org/pixel.gif" width="1" height="1" alt=""/></td></tr></table>
<!--[if (gte mso 9)|(IE)]></td></tr></table><![endif]--></td></tr></table></center></body></html>""",
    "word": """<html xmlns:o="urn:schemas-microsoft-com:office:office" xmlns:w="urn:schemas-microsoft-com:office:word">
<head><meta name=Generator content="Microsoft Word 15"><style><!-- p.MsoNormal {margin:0cm} --></style></head>
<body lang=EN-GB link="#0563C1" style='word-wrap:break-word'>
<div class=WordSection1>
<p class=MsoTitle>Minutes<o:p></o:p></p>
<p class=MsoNormal><b><span lang=EN-US style='mso-ansi-language:EN-US'>Present: </span></b>Ann, Bob<o:p></o:p></p>
<p class=MsoListParagraph style='margin-left:36.0pt;text-indent:-18.0pt;mso-list:l0 level1 lfo1'><![if !supportLists]><span
style='mso-list:Ignore'>1.<span style='font:7.0pt "Times New Roman"'>&nbsp;&nbsp; </span></span><![endif]>First point<o:p></o:p></p>
<p class=MsoNormal><o:p>&nbsp;</o:p></p>
</div></body></html>""",
    "google_docs": """<meta charset='utf-8'><b style="font-weight:normal;" id="docs-internal-guid-1234"><p dir="ltr" style="line-height:1.38;"><span
 style="font-size:11pt;font-family:Arial;color:#000000;">Hello from the clipboard.</span></p><br /><ul style="margin-top:0;"><li dir="ltr"
 aria-level="1"><p role="presentation"><span>One</span></p></li><li dir="ltr" aria-level="1"><p role="presentation"><span>Two</span></p>
</li></ul></b>""",
    "prosemirror": '<h2>Plan</h2><p></p><p>First <strong>bold</strong><br class="ProseMirror-trailingBreak"></p>'
    '<ul data-type="taskList"><li data-checked="true"><label><input type="checkbox" checked></label><div><p>Done</p></div></li></ul>',
    "quill": '<p>Hello</p><p><br></p><ol><li data-list="bullet"><span class="ql-ui" contenteditable="false"></span>Item</li></ol>',
    "wiki": """<div class="mw-parser-output"><p><b>Valkey</b> is a key&#8211;value store<sup id="cite_ref-1"><a href="#cite_note-1">[1]</a></sup>.
</p><div id="toc" class="toc"><h2>Contents</h2><ul><li class="toclevel-1"><a href="#History"><span class="tocnumber">1</span> History</a></li>
</ul></div><h2><span class="mw-headline" id="History">History</span><span class="mw-editsection">[<a href="/edit">edit</a>]</span></h2>
<p>It began in 2024.</p><table class="infobox"><tbody><tr><th colspan="2">Valkey</th></tr><tr><td>Type</td><td>Database</td></tr></tbody></table>
<ol class="references"><li id="cite_note-1"><span>^</span> <cite>News</cite></li></ol></div>""",
    "blog": """<article itemscope><header><h1>On streams</h1><time datetime="2026-01-02">2 January</time></header>
<p>A stream is a log. A log has a cursor. A cursor is all that a reader owns. That is the whole idea.</p>
<blockquote cite="https://example.org"><p>Keep it simple.</p><p>Then simpler.</p></blockquote>
<figure><img src="/a.png" alt="A picture"><figcaption>Fig. 1: A log</figcaption></figure>
<pre><code class="language-python">if a &lt; b and c &gt; d:
    print("&amp;")   # two  spaces
</code></pre><aside><p>Note well.</p></aside><script async src="https://example.org/analytics.js"></script></article>""",
    "nineties": """<HTML><HEAD><TITLE>My home page</TITLE></HEAD>
<BODY BGCOLOR=#FFFFFF TEXT=black BACKGROUND="tile.gif">
<CENTER><FONT SIZE=+3 COLOR=red>Welcome!</FONT></CENTER><HR>
<P>This is my page.<P>I like <A HREF=links.html>links</A>
<UL><LI>Cats<LI>Dogs<UL><LI>Poodles</UL></UL>
<DL><DT>HTML<DD>A language<DT>FTP<DD>A protocol</DL>
<TABLE BORDER><TR><TD>1<TD>2<TR><TD COLSPAN=2>3</TABLE>
<MARQUEE>new</MARQUEE><BLINK>!</BLINK>
</BODY></HTML>""",
    "faq": """<section><h2>Questions</h2><details open><summary>Is it <em>free</em>?</summary><p>Yes.</p></details>
<details><summary>How long?</summary>Loose answer with <code>code</code>.</details></section>""",
    "schedule": """<table><colgroup><col span=2><col></colgroup><thead><tr><th scope=col>Day<th>Room<tbody><tr><th scope=row>Mo<td>A 1
<tr><th>Tu<td><ul><li>B 2<li>B 3</ul><tfoot><tr><td colspan=2>Subject to change</table>""",
    "layout_tables": "<table><tr><td width=200><table><tr><td>Menu</td></tr></table></td><td><table><tr><td><p>Text</p>"
    "<table><tr><td>deep</td></tr></table></td></tr></table></td></tr></table>",
    "nested_lists": "<ul>\n\t<li>a\n\t<ol>\n\t\t<li>a1</li>\n\t\t<li>a2<ul><li>x</li></ul></li>\n\t</ol></li>\n\t<li></li>\n</ul>",
    "list_in_list": "<ul><li>one</li><ul><li>wrong but common</li></ul><li>two</li>text in a list<p>a block in a list</p></ul>",
    "definitions": "<dl><div><dt>Term</dt><dd>Meaning</dd></div><dt>T2<dt>T3<dd>M2<dd><p>M3</p></dl>",
    "code_page": """<h1>API</h1><pre>
GET /v1/chat  HTTP/1.1
&lt;script&gt;alert(1)&lt;/script&gt;
</pre><p>Use <code>a &amp;&amp; b</code>, <kbd>Ctrl</kbd>+<kbd>C</kbd>.</p><xmp><p>not a paragraph</p></xmp><listing>old</listing>""",
    "entities": "<p>&lt;p&gt; &amp;amp; &AMP; &copy &copy; &notit; &#65;&#x42; &#0; &#x80; &unknown; & &amp &frac12;1&nbsp;2</p>"
    "<p title='a&quot;b&#39;c'>caf&eacute; caf\u00e9 cafe\u0301 \U0001f600 &#x1F600;</p>",
    "comments": "<!-- a --><p>one<!-- in --> two</p><!----><!--> <p>three</p> --><!---><p>four</p><!-- a -- b --!><p>five</p>"
    "<!doctype late><p>six</p><?php echo '<p>x</p>'; ?><p>seven</p></ bogus><p>eight</p><!-- never closed <p>nine</p>",
    "scripts": """<script>var a = "</p><p>"; if (a < b) { document.write("<b>") }</script><p>between</p>
<script type="text/template"><p>{{ name }}</p></script><script><!--
 document.write("<script>x</script>"); // </p>
--></script><style>p::before { content: "</style " }</style><p>after</p><noscript><p>no script</p></noscript>""",
    "handlers": """<div onclick="go()"><p onmouseover='x("<p>")'>Hot <b>paragraph</b></p>
<a href="javascript:alert(1)">a link</a> and <a href="https://example.org">another</a></div><p>plain</p>""",
    "forms": """<form action="/x"><fieldset><legend>Who</legend><label for=n>Name</label><input id=n value="a > b">
<select><option>One<option selected>Two</select><textarea><p>raw & <b></textarea><button type=submit>Send</button></fieldset></form><p>end</p>""",
    "frames_inside": '<p>Video: <iframe src="https://example.org/v" allowfullscreen><p>fallback</p></iframe> watch it</p>'
    '<object data="x.swf"><embed src="x.swf"></object><video controls><source src="a.mp4">No video</video><p>done</p>',
    "svg_math": '<p>Icon <svg viewBox="0 0 1 1"><title>T</title><path d="M0 0"/><style>a{}</style><![CDATA[ <p>x</p> ]]></svg> here</p>'
    "<math><mi>x</mi><mo>&lt;</mo><mn>2</mn></math><p>after <svg><foreignObject><p>inside</p></foreignObject></svg></p><svg><p>breaks out</p>",
    "custom_elements": "<my-app><my-card slot=a><p>card</p></my-card><x-b>text</x-b></my-app><p is=fancy>fancy</p>",
    "template": "<template><p>never shown</p></template><p>shown</p><slot name=x>fallback</slot>",
    "xhtml": """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en"><head><title/></head><body><p>a<br/>b<hr/></p><![CDATA[ x ]]><p/><p>c</p>
</body></html>""",
    "misnested": "<p><b>bold <i>both</b> italic</i> plain</p><b><p>block in bold</p></b><a><a>two</a></a><p>a<div>b</p>c</div></span></p>",
    "unclosed": "<div><p>one<p>two <b>bold<p>three</div><ul><li>x<li>y<p>z",
    "stray_ends": "</p></div><p>text</b></i></p></li></td></body></html><p>after the end</p> tail",
    "bad_quotes": "<p class=\"a>one</p><p class='b\">two</p><p title=a\"b=c'd>three</p><p a = 'x' b= y =z/>four</p>",
    "cut_tag": "<p>one</p><p>two</p><a href='x",
    "cut_script": "<p>one</p><script>var x = '<p>two</p>'",
    "cut_comment": "<p>one</p><!-- <p>two</p>",
    "angles": "<p>1 < 2 > 0 <3 << >> <- </ <= a<b</p>&lt;<p>5</p>",
    "crlf": "<html>\r\n<body>\r\n\t<p>one\r\ntwo</p>\r\n\r\n\r\n<ul>\r\n  <li>a</li>\r\n  <li>b</li>\r\n</ul>\r\n</body>\r\n</html>\r\n",
    "old_mac": "<p>one</p>\r<p>two\rthree</p>\r\r<h2>x</h2>\r",
    "bom": "\ufeff<!doctype html><p>with a mark at the start</p>\ufeff",
    "odd_space": "\f\n \t<p\n\tclass\n=\n'a'\n>one</p\n>\u00a0\u2003<p>\u200b two \u00a0</p>\x0b<p >three</p >\n\n\n\n",
    "arabic": '<html dir="rtl" lang="ar"><body><h1>\u0645\u0631\u062d\u0628\u0627</h1><p>\u0647\u0630\u0627 \u0646\u0635. \u0648\u0647\u0630\u0627 \u0622\u062e\u0631\u061f</p></body></html>',
    "japanese": "<h1>\u898f\u7d04</h1><p>\u672c\u898f\u7d04\u306f\u9069\u7528\u3055\u308c\u307e\u3059\u3002\u6599\u91d1\u306f\u6708\u984d\u3067\u3059\u3002\u89e3\u7d04\u306f\u81ea\u7531\u3067\u3059\u3002</p>",
    "minified": "<!doctype html><title>m</title><link rel=stylesheet href=a.css><body><div id=r><h1>T</h1><p>a<p>b<ul><li>c<li>d</ul></div><script src=a.js></script>",
    "data_image": '<p>Logo <img src="data:image/png;base64,iVBORw0KGgo=" alt="logo"> and <img src="data:image/svg+xml,&lt;svg onload=x&gt;"> end</p>',
    "styled": '<p style="color:red;position:fixed;top:0">cover</p><p style="COLOR : blue ; background:url(x.png)">blue</p><p style="color:red">red</p>',
    "plain_text": "Just a line of text.\nAnd another one, with 5 > 3 & 2 < 4.\n",
    "loose": "<div>Loose text, <b>bold</b> too<br>second line<p>a block</p>more <!-- c --> loose<hr>and <i></i> the end </div>",
    "empty": "",
    "white": " \r\n\t ",
    "only_comment": "<!-- nothing -->",
    "empty_body": "<!doctype html><html><head><title>x</title></head><body>\n</body></html>\n",
    "frameset": '<html><head></head><frameset cols="50%,*"><frame src="a"><frame src="b"><noframes><p>old</p></noframes></frameset></html>',
    "plaintext": "<p>one</p><plaintext><p>two</p></plaintext>",
    "ruby": "<p><ruby>\u6f22<rp>(</rp><rt>kan</rt><rp>)</rp></ruby> and <bdo dir=rtl>abc</bdo> <wbr>x<sub>2</sub></p>",
    "invoice": "<table id=inv>\n <tr class=h><th>Pos<th>Text\n <tr><td>1<td>Work, <em>8 h</em>\n <tr><td>2<td>Travel\n</table>\n<p>Total: <b>&euro; 900</b></p>",
    "foster": "<table>text before<p>moved out</p><tr><td>cell</td></tr><div>also moved</div></table>",
    "heads": "<head><title>a</title></head><head><body><p>x<body class=b><p>y<html lang=en><p>z",
    "long_paragraph": f"<p>{' '.join([PARAGRAPH] * 200)}</p>",
    "deep": "<div>" * 3000 + "<p>bottom</p>" + "</div>" * 2000,
    "attributes": f'<p data-x="{"y" * 50_000}" class="{"c " * 500}">wide</p><p id=a id=b ID=c>twice</p>',
}


def large(size: int = 2_000_000) -> str:
    """A document of about `size` characters with a bit of everything."""
    part = (
        '<section class="s"><h2 id="h{0}">Heading {0} &amp; more</h2>\r\n<p class="x">Some <b>bold</b> text {0} &eacute; \u00e9 '
        '<a href="/x?a={0}&b=2">link</a>. It goes on. And on.</p>\n<ul><li>one {0}<li>two<ul><li>in</ul></ul>'
        "<table><tr><td>{0}<td>2</table><!-- {0} --><script>if (a < {0}) b()</script></section>\n"
    )
    return (
        "<!doctype html><html><body>"
        + "".join(part.format(number) for number in range(size // (len(part) + 20)))
        + "</body></html>"
    )

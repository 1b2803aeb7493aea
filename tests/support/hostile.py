"""Text that tries to become more than text on a page: for tests of whatever is written for a browser."""

from __future__ import annotations

CODE = "window.__pwned=1"


def payloads() -> list[str]:
    """Two hundred different ones and more, each with a number in it, so that it can be found again."""
    closing = ["script", "title", "textarea", "style", "pre", "svg", "noscript"]
    ends = ["", *['"', "'", "`", "-->", "]]>", "*/", "//"], *(f"</{tag}>" for tag in closing)]
    bodies = [
        f"<script>{CODE}</script>", f"<ScRiPt >{CODE}</sCrIpT\t>", f"<img src=x onerror={CODE}>", f'<img src="x" onerror="{CODE}">',
        f"<svg onload={CODE}>", f"<svg><script>{CODE}</script></svg>", f"<body onload={CODE}>", f"<details open ontoggle={CODE}>x</details>",
        f"<iframe srcdoc='<script>parent.{CODE}</script>'></iframe>", f"<a href=javascript:{CODE}>click</a>",
        f"<input autofocus onfocus={CODE}>", f"<math><mtext><img src=x onerror={CODE}></mtext></math>",
    ]  # fmt: skip
    found = [end + body for end in ends for body in bodies]
    found += [
        f'" onmouseover="{CODE}', f"' onfocus='{CODE}' autofocus='", f'" autofocus onfocus={CODE} x="', f"x onload={CODE}",
        f'"><script>{CODE}</script>', f"'><script>{CODE}</script>", f'" style="background:url(javascript:{CODE})', f"javascript:{CODE}",
        f"JaVaScRiPt:{CODE}//", f"data:text/html,<script>{CODE}</script>", f"vbscript:{CODE}", "{{7*7}}", "{{ self.__init__ }}",
        "{% for x in y %}", "{# hidden #}", "${7*7}", "<%= 7*7 %>", "#{7*7}", "{{constructor.constructor('" + CODE + "')()}}",
        f"\u2028{CODE}\u2029", f'\\u003cscript>{CODE}', f'"}};{CODE};//', f"];{CODE};[", f"\\';{CODE};//", "<!--<script>", "<![CDATA[ x ]]>",
        "<?xml version='1.0'?><?php x ?>", f"&lt;script&gt;{CODE}&lt;/script&gt;", f"&#60;script&#62;{CODE}&#60;/script&#62;", "&amp;&quot;&apos;",
        "<link rel=stylesheet href='data:text/css,x'><base href='//host.invalid/'>", f"<meta http-equiv=refresh content='0;url=javascript:{CODE}'>",
        f"<form action=javascript:{CODE}><button>x</button></form>", f"<style>@import 'javascript:{CODE}'</style>", "<plaintext>", "<template><b>",
        "\u202eevil\u202c right to left \u05d0\u05d1\u05d2", "\u2066\u2067 isolates \u2069", "null", "undefined", "NaN", "None", "-0", "constructor",
        "__proto__", "toString", "../../../etc/passwd", "..\\..\\x", "CON", "aux.html", "%00%3Cscript%3E", "x" * 4000, "\u0000nul\u0007bell\u001b[31m",
        "e\u0301" * 50, "🙂\u200d🔥", "\ufeff", "＜script＞", f"<object data=javascript:{CODE}>", f"<embed src=javascript:{CODE}>",
        f"<video><source onerror={CODE}></video>", f"<audio src=x onerror={CODE}>", f"<marquee onstart={CODE}>x</marquee>",
        "<img src=//host.invalid/x.png>", "<img src=http://host.invalid/y.png>", "<script src=//host.invalid/z.js></script>",
    ]  # fmt: skip
    return [f"p{n:03d} {text}" if n % 2 else f"{text} p{n:03d}" for n, text in enumerate(found)]

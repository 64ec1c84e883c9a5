import assert from 'node:assert/strict'
import { test } from 'node:test'
import { svgProblem } from './svg.ts'

const drawing = (inside: string, attributes = '') =>
  Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 8 8" ${attributes}>${inside}</svg>`,
  )
const pixel = 'data:image/png;base64,iVBORw0KGgo='

test('pictures as drawing programs write them are taken', () => {
  const good = [
    drawing('<path d="M0 0h8v8z" fill="#123"/>'),
    drawing('<defs><linearGradient id="a"><stop offset="0"/></linearGradient></defs><rect fill="url(#a)"/>'),
    drawing(
      '<style>.a{fill:url("#g")}@media (prefers-color-scheme:dark){.a{fill:#fff}}</style><g class="a"/>',
    ),
    drawing('<style><![CDATA[.a>.b{fill:red}]]></style>'),
    drawing('<symbol id="s"><circle r="1"/></symbol><use xlink:href="#s"/><use href="#s"/>'),
    drawing(`<image href="${pixel}" width="1" height="1"/>`),
    drawing('<title>Fish &amp; chips &#x2014; "on"</title>'),
    drawing('<rect><animate attributeName="x" values="0;1" dur="1s"/></rect>'),
    drawing(
      '<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:li rdf:resource="http://a"/></rdf:RDF></metadata>',
    ),
    drawing('<s:namedview xmlns:s="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" pagecolor="#fff"/>'),
    Buffer.concat([
      Buffer.from(
        '\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<!-- made by hand -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n',
      ),
      drawing('<g/>'),
    ]),
  ]
  for (const svg of good) assert.equal(svgProblem(svg), null, svg.toString())
})

test('whatever could run, load or lead somewhere is refused', () => {
  const bad = [
    drawing('<script>alert(1)</script>'),
    drawing('<x:script xmlns:x="http://www.w3.org/2000/svg">alert(1)</x:script>'),
    drawing('<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>'),
    drawing('<g xmlns:h="http://www.w3.org/1999/xhtml"><h:img src="x"/></g>'),
    drawing('<foreignObject><p>x</p></foreignObject>'),
    drawing('<unknown/>'),
    drawing('<a href="https://evil.example"><path/></a>'),
    drawing('<g/>', 'onload="alert(1)"'),
    drawing('<g onClick="alert(1)"/>'),
    drawing('<g x:onclick="alert(1)" xmlns:x="http://www.inkscape.org/namespaces/inkscape"/>'),
    drawing('<image href="https://evil.example/a.png"/>'),
    drawing('<image xlink:href="//evil.example/a.png"/>'),
    drawing('<image href="data:image/svg+xml;base64,PHN2Zy8+"/>'),
    drawing('<use href="other.svg#a"/>'),
    drawing('<use href="javascript:alert(1)"/>'),
    drawing('<use xmlns:y="http://www.w3.org/1999/xlink" y:href="https://evil.example/#a"/>'),
    drawing('<set attributeName="href" to="javascript:alert(1)"/>'),
    drawing('<animate attributeName="xlink:href" values="javascript:alert(1)"/>'),
    drawing('<animate attributeName=" onclick" values="alert(1)"/>'),
    drawing('<g xml:base="https://evil.example/"/>'),
    drawing('<rect fill="url(https://evil.example/#a)"/>'),
    drawing('<rect fill="URL( \'//evil.example\' )"/>'),
    drawing('<rect fill="u\\72l(//evil.example)"/>'),
    drawing('<rect style="fill:url(https://evil.example/)"/>'),
    drawing('<rect style="background:image-set(\'https://evil.example/a\' 1x)"/>'),
    drawing('<style>@import "https://evil.example/a.css";</style>'),
    drawing('<style>@im\\70ort "https://evil.example/a.css";</style>'),
    drawing('<style>.a{fill:url(//evil.example)}</style>'),
    drawing('<style><![CDATA[@font-face{src:url(https://evil.example/f)}]]></style>'),
    drawing('<style>.a{fill:</style><style>url(//evil.example)}</style>'),
    drawing('<style>&#64;import "x";</style>'),
  ]
  for (const svg of bad)
    assert.match(svgProblem(svg) ?? 'taken', /^(?:An SVG must not|A style)/, svg.toString())
})

test('what is no well-formed SVG of known text is refused', () => {
  const bad = [
    Buffer.from('<svg/>'),
    Buffer.from('<html xmlns="http://www.w3.org/1999/xhtml"/>'),
    Buffer.from('<!doctype html><script>alert(1)</script>'),
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg">'),
    drawing('<g x="1" x="2"/>'),
    drawing('&evil;'),
    Buffer.concat([Buffer.from('<!DOCTYPE svg [<!ENTITY a "b">]>'), drawing('&a;')]),
    Buffer.concat([Buffer.from('<?xml-stylesheet href="https://evil.example/a.xsl"?>'), drawing('')]),
    Buffer.concat([Buffer.from('<?xml version="1.0" encoding="utf-7"?>'), drawing('')]),
    Buffer.concat([drawing(''), Buffer.from([0xff, 0xfe])]),
    Buffer.from('\ufeff<svg xmlns="http://www.w3.org/2000/svg"/>', 'utf16le'),
    drawing('<g>'.repeat(200) + '</g>'.repeat(200)),
    drawing(`<!--${'x'.repeat(1_048_576)}-->`),
  ]
  for (const svg of bad) assert.notEqual(svgProblem(svg), null, svg.subarray(0, 80).toString())
})

test('a file made to be slow is judged in time', () => {
  const nested = drawing('<g>'.repeat(250_000))
  const manyAttributes = drawing(`<g ${Array.from({ length: 60_000 }, (_, i) => `a${i}="("`).join(' ')}/>`)
  const openUrls = drawing(`<rect fill="${'url('.repeat(200_000)}"/>`)
  const began = performance.now()
  for (const svg of [nested, manyAttributes, openUrls]) svgProblem(svg)
  assert.ok(performance.now() - began < 3000)
})

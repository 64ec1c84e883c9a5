// Whether an SVG is a picture and nothing else. It is read by an XML parser, and what is not known to be harmless is refused; the bytes
// themselves are never changed. What passes is still served under a policy that runs and loads nothing.
import { SaxesParser, type SaxesTagNS } from 'saxes'

const svgNamespace = 'http://www.w3.org/2000/svg'
const xlinkNamespace = 'http://www.w3.org/1999/xlink'
/** Parsing is on the event loop: a drawing larger than this is not an icon. */
const maxBytes = 1_048_576
const maxDepth = 100

/** No `script`, no `foreignObject`, no links, nothing that embeds. */
const elements = new Set(
  `svg g defs symbol use switch title desc metadata style view
  path rect circle ellipse line polyline polygon text tspan textPath image
  marker pattern mask clipPath linearGradient radialGradient stop
  animate animateTransform animateMotion mpath set
  filter feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap
  feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feMerge feMergeNode feMorphology
  feOffset fePointLight feSpecularLighting feSpotLight feTile feTurbulence`.split(/\s+/),
)

/** What drawing programs write about themselves: elements no browser knows. */
const inertNamespaces = [
  'http://www.w3.org/1999/02/22-rdf-syntax-ns#',
  'http://creativecommons.org/ns#',
  'http://web.resource.org/cc/',
  'http://purl.org/dc/',
  'http://sodipodi.sourceforge.net/',
  'http://www.inkscape.org/namespaces/',
  'http://www.bohemiancoding.com/sketch/',
  'http://www.serif.com/',
  'https://boxy-svg.com',
  'http://ns.adobe.com/',
]

/**
 * @param bytes of the whole file
 * @returns why it is refused, as a sentence for whoever uploads it; null for a picture without scripts and outside references
 */
export function svgProblem(bytes: Uint8Array): string | null {
  if (bytes.length > maxBytes) return 'An SVG may have at most 1 MiB.'
  try {
    read(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return null
  } catch (error) {
    if (error instanceof Refused) return error.message
    if (error instanceof TypeError) return 'This is no SVG: its text is not UTF-8.'
    return 'This is no SVG: its XML is not well-formed.'
  }
}

class Refused extends Error {}

function read(text: string): void {
  const parser = new SaxesParser({ xmlns: true, position: false })
  let depth = 0
  let seen = false
  let style: string | null = null
  const styleText = (part: string) => {
    if (style !== null) style += part
  }
  parser.on('error', error => {
    throw error
  })
  parser.on('xmldecl', ({ encoding }) => {
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8')
      throw new Refused('An SVG must be in UTF-8.')
  })
  parser.on('doctype', doctype => {
    if (doctype.includes('[')) throw new Refused('An SVG must not define entities.')
  })
  parser.on('processinginstruction', ({ target }) => {
    throw new Refused(`An SVG must not hold the processing instruction "${short(target)}".`)
  })
  parser.on('opentag', tag => {
    if (!seen && (tag.local !== 'svg' || tag.uri !== svgNamespace))
      throw new Refused('This is no SVG: its root is not an svg element of the SVG namespace.')
    seen = true
    depth += 1
    if (depth > maxDepth) throw new Refused('The elements of this SVG are nested too deeply.')
    if (style !== null) throw new Refused('A style element of an SVG must hold text only.')
    judgeElement(tag)
    if (tag.local === 'style') style = ''
  })
  parser.on('text', styleText)
  parser.on('cdata', styleText)
  parser.on('closetag', () => {
    depth -= 1
    if (style !== null) judgeStyle(style)
    style = null
  })
  parser.write(text).close()
}

function judgeElement(tag: SaxesTagNS): void {
  const known =
    tag.uri === svgNamespace
      ? elements.has(tag.local)
      : inertNamespaces.some(namespace => tag.uri.startsWith(namespace))
  if (!known) throw new Refused(`An SVG must not hold the element "${short(tag.name)}".`)
  for (const { name, local, prefix, uri, value } of Object.values(tag.attributes)) {
    // A declaration of a namespace, which the elements in it answer for.
    if (prefix === 'xmlns' || name === 'xmlns') continue
    const refused = () => new Refused(`An SVG must not hold the attribute ${short(name)}="${short(value)}".`)
    if (/^on/i.test(local) || local === 'base') throw refused()
    if (tag.uri !== svgNamespace) continue
    if (local === 'src' || (uri === xlinkNamespace && local === 'actuate')) throw refused()
    if (local === 'href' && !isOwn(value)) throw refused()
    // An animation could write what may not be written.
    if (local === 'attributeName' && /^(?:.*:)?(?:href|src|base|style|on.*)$/i.test(value.trim()))
      throw refused()
    if (local === 'style') judgeStyle(value)
    else if (value.includes('(') && (value.includes('\\') || !urlsAreOwn(value))) throw refused()
  }
}

/** A part of the same file, or a picture within it. */
function isOwn(reference: string): boolean {
  const text = reference.trim()
  return (
    text.startsWith('#') || /^data:image\/(?:png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=\s]*$/.test(text)
  )
}

/** Style text: no escapes, since they could spell any of what follows. */
function judgeStyle(css: string): void {
  const refused =
    css.includes('\\') ||
    /@(?!(?:media|supports|font-face|keyframes|-webkit-keyframes)\b)/i.test(css) ||
    /(?:^|[^a-z])(?:image|image-set|-webkit-image-set|cross-fade|src|expression)\s*\(/i.test(css) ||
    /(?:-moz-binding|behavior)\s*:/i.test(css) ||
    !urlsAreOwn(css)
  if (refused) throw new Refused('A style of an SVG must neither load anything nor use escapes.')
}

function urlsAreOwn(css: string): boolean {
  for (const [, rest = ''] of css.matchAll(/url(?:-prefix)?\s*\(([^)]*)/gi)) {
    const target = rest.trim().replace(/^(["'])(.*)\1$/s, '$2')
    if (!isOwn(target)) return false
  }
  return true
}

/** As much of a text of the file as an answer repeats. */
function short(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`
}

// How a message looks: as text, and as HTML with the login page's stone, verdigris and lamplight. Tables and inline styles, because
// that is what mail programs understand; those that know dark schemes get the dark colours. Nothing is loaded from anywhere.
import { escaped } from '../pages/page.ts'

export interface MailContent {
  /** also the subject unless another is given */
  title: string
  paragraphs: readonly string[]
  /** label and value, each on a line of its own */
  facts?: readonly (readonly [label: string, value: string])[]
  action?: { label: string; url: URL }
  /** why this person gets it */
  reason: string
}

export interface MailSite {
  /** what the installation is called */
  title: string
  url: URL
}

/** The two parts of a message. Texts may come from anywhere; the address of the action is the caller's. */
export function renderMail(content: MailContent, site: MailSite): { text: string; html: string } {
  return { text: asText(content, site), html: asHtml(content, site) }
}

function asText({ title, paragraphs, facts = [], action, reason }: MailContent, site: MailSite): string {
  const blocks = [
    title,
    ...paragraphs,
    facts.map(([label, value]) => `${oneLine(label)}: ${oneLine(value)}`).join('\n'),
    action === undefined ? '' : `${action.label}:\n${action.url.href}`,
    `-- \n${oneLine(site.title)} – ${site.url.origin}\n${reason}`,
  ]
  return `${blocks.filter(block => block !== '').join('\n\n')}\n`
}

/** A fact cannot look like another one. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}

const font = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"

function asHtml({ title, paragraphs, facts = [], action, reason }: MailContent, site: MailSite): string {
  const text = paragraphs.map(
    paragraph => `<p class="ink" style="margin:0 0 14px;color:${light.ink}">${escaped(paragraph)}</p>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${escaped(title)}</title>
<style>${darkStyle}</style>
</head>
<body class="stone" style="margin:0;padding:0;background:${light.stone}">
<table role="presentation" class="stone" width="100%" cellpadding="0" cellspacing="0" border="0" style="background:${light.stone}">
<tr><td align="center" style="padding:36px 16px">
<table role="presentation" class="panel" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:520px;background:${light.panel};border:1px solid ${light.edge};border-radius:150px 150px 8px 8px;border-collapse:separate">
<tr><td align="center" style="padding:40px 32px 0">${mark}
<div class="soft" style="${font};font-size:14px;font-weight:600;letter-spacing:.02em;color:${light.soft};padding-top:10px">${escaped(site.title)}</div></td></tr>
<tr><td style="padding:18px 32px 30px;${font};font-size:16px;line-height:1.55;overflow-wrap:anywhere">
<h1 class="ink" style="margin:0 0 16px;font-size:22px;line-height:1.25;font-weight:650;color:${light.ink};text-align:center">${escaped(title)}</h1>
${text.join('\n')}
${factsHtml(facts)}${actionHtml(action)}</td></tr>
</table>
<div class="soft" style="${font};max-width:520px;padding:18px 16px 0;font-size:13px;line-height:1.5;color:${light.soft};text-align:center">${escaped(reason)}<br>
<a class="accent" href="${escaped(site.url.origin)}" style="color:${light.accent}">${escaped(site.url.host)}</a></div>
</td></tr>
</table>
</body>
</html>
`
}

/** The lit side door, without an image: two arches of the same centre and a doorstep. */
const mark = `<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr><td class="arch" style="padding:5px 5px 0;border:3px solid #1d5a4f;border-bottom:0;border-radius:15px 15px 0 0"><div class="lamp" style="width:16px;height:22px;border-radius:8px 8px 0 0;background:#e9b45a;font-size:0;line-height:0">&nbsp;</div></td></tr></table><div class="step" style="width:42px;height:3px;border-radius:2px;background:#1d5a4f;font-size:0;line-height:0">&nbsp;</div>`

function factsHtml(facts: NonNullable<MailContent['facts']>): string {
  if (facts.length === 0) return ''
  const rows = facts.map(
    ([
      label,
      value,
    ]) => `<tr><td class="soft line" valign="top" style="padding:8px 16px 8px 0;border-top:1px solid ${light.edge};color:${light.soft};font-size:14px">${escaped(label)}</td>
<td class="ink line" valign="top" style="padding:8px 0;border-top:1px solid ${light.edge};color:${light.ink};font-size:14px">${escaped(value)}</td></tr>`,
  )
  return `<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:4px 0 16px">${rows.join('\n')}</table>\n`
}

function actionHtml(action: MailContent['action']): string {
  if (action === undefined) return ''
  return `<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:20px 0 4px"><tr><td class="button" align="center" style="background:${light.accent};border-radius:9px"><a class="button-text" href="${escaped(action.url.href)}" style="display:block;padding:13px 20px;color:#ffffff;font-weight:600;text-decoration:none">${escaped(action.label)}</a></td></tr></table>\n`
}

const light = {
  stone: '#efebe3',
  panel: '#fdfcf9',
  edge: '#d9d2c4',
  ink: '#1f2625',
  soft: '#56605c',
  accent: '#1d5a4f',
}

const darkStyle = `
:root{color-scheme:light dark;supported-color-schemes:light dark}
@media (prefers-color-scheme:dark){
.stone{background:#12161a!important}.panel{background:#1d2328!important;border-color:#323b42!important}
.ink{color:#e9ece9!important}.soft{color:#a9b3b0!important}.line{border-color:#323b42!important}.accent{color:#7bbcaa!important}
.arch{border-color:#7bbcaa!important}.step{background:#7bbcaa!important}.lamp{background:#f0c374!important}
.button{background:#7bbcaa!important}.button-text{color:#10201c!important}}
`

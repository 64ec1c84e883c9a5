import assert from 'node:assert/strict'
import type { Page } from 'playwright-core'

// Runs in the page: names of fields, buttons and images, contrast of texts, size of targets, doubled ids.
const script = `(() => {
  const problems = []
  const name = element => element.tagName.toLowerCase() + ' "' + (element.name || element.textContent || '').trim().slice(0, 40) + '"'
  const shown = element => {
    const box = element.getBoundingClientRect()
    return box.width > 1 && box.height > 1 && getComputedStyle(element).visibility === 'visible'
  }
  const hidden = element => element.closest('[aria-hidden="true"]') !== null
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const rgba = text => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = text
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    return 0.2126 * x + 0.7152 * y + 0.0722 * z
  }
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor)
      if (colour[3] === 255) return colour
    }
    return [255, 255, 255, 255]
  }
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x)
    return (high + 0.05) / (low + 0.05)
  }
  for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (hidden(field)) continue
    if (!field.labels?.length && !field.getAttribute('aria-label')) problems.push('no label: ' + name(field))
    if (field.getAttribute('aria-invalid') === 'true') {
      const said = (field.getAttribute('aria-describedby') || '').split(' ').map(id => document.getElementById(id)?.textContent || '').join('')
      if (said === '') problems.push('error not described: ' + name(field))
    }
    if (shown(field) && contrast(rgba(getComputedStyle(field).color), behind(field)) < 4.5) problems.push('contrast: ' + name(field))
    const edge = getComputedStyle(field)
    if (shown(field) && parseFloat(edge.borderTopWidth) > 0 && contrast(rgba(edge.borderTopColor), behind(field.parentElement)) < 3) problems.push('edge: ' + name(field))
  }
  for (const button of document.querySelectorAll('button, a')) {
    if (!hidden(button) && !(button.getAttribute('aria-label') || button.textContent || '').trim()) problems.push('no name: ' + button.outerHTML.slice(0, 80))
    const box = button.getBoundingClientRect()
    if (shown(button) && (box.height < 24 || box.width < 24)) problems.push('small target ' + box.width + 'x' + box.height + ': ' + name(button))
  }
  for (const image of document.querySelectorAll('img')) if (!image.hasAttribute('alt')) problems.push('no alt: ' + image.src)
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement
    if (!node.textContent.trim() || !shown(element) || element.closest('script, noscript')) continue
    const ratio = contrast(rgba(getComputedStyle(element).color), behind(element))
    if (ratio < 4.5) problems.push('contrast ' + ratio.toFixed(2) + ': ' + name(element))
  }
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id)
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) problems.push('doubled id: ' + id)
  if (document.querySelectorAll('h1').length !== 1) problems.push('not exactly one h1')
  if (document.querySelectorAll('main').length !== 1) problems.push('not exactly one main')
  if (document.documentElement.lang === '') problems.push('no language')
  if (document.documentElement.scrollWidth > innerWidth) problems.push('wider than the window: ' + document.documentElement.scrollWidth)
  return problems
})()`

/** Asserts what a machine can see of accessibility: names, error texts, contrast (4.5:1), target size (24 px), landmarks, no sideways scrolling. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  assert.deepEqual(await page.evaluate<string[]>(script), [], where)
}

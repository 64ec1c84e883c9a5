// What a person sees when there is nothing to see: pages that look finished without scripts and say what to do next.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorText } from '../../log.ts'
import { isUnavailable } from '../../pg/errors.ts'
import type { Core } from '../core.ts'
import { ApiError } from '../errors.ts'
import { sendPage } from './page.ts'

/** Error handler of routes that browsers open: a page, whatever failed. */
export function answerBrowser(
  core: Core,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const home = [{ label: 'To the start page', href: '/', primary: true }]
  if (error instanceof ApiError && error.status === 404) {
    const paragraphs = ['There is nothing at this address.']
    return sendPage(reply, { status: 404, title: 'Not found', paragraphs, actions: home })
  }
  if (error instanceof ApiError && error.status === 421)
    return sendPage(reply, { status: 421, title: 'Unknown address', paragraphs: [error.message] })
  if (error instanceof ApiError)
    return sendPage(reply, {
      status: error.status,
      title: 'That did not work',
      paragraphs: [error.message],
      actions: home,
    })
  if (isUnavailable(error)) {
    core.log.warning('database unavailable', { request_id: request.id, error: errorText(error) })
    reply.header('Retry-After', '2')
    const paragraphs = ['The service is not available right now. Please reload this page in a few seconds.']
    return sendPage(reply, { status: 503, title: 'Just a moment', paragraphs })
  }
  const known = (error as { statusCode?: number }).statusCode ?? 500
  const status = known >= 400 && known < 500 ? known : 500
  if (status === 500)
    core.log.error('request failed', {
      request_id: request.id,
      method: request.method,
      path: splitQuery(request.url)[0],
      error: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    })
  const paragraphs = [
    'Something went wrong here. The number below helps your administrator to find out what.',
  ]
  return sendPage(reply, { status, title: 'That did not work', paragraphs, actions: home })
}

/** The way is closed for this user. */
export function sendDenied(reply: FastifyReply, sentence: string, status = 403): FastifyReply {
  return sendPage(reply, {
    status,
    title: 'Access denied',
    paragraphs: [sentence],
    actions: [
      { label: 'Your applications', href: '/if/user/', primary: true },
      { label: 'Use another account', href: '/flows/-/default/invalidation/' },
    ],
  })
}

/** Path, and the query with its question mark. */
export function splitQuery(url: string): [string, string] {
  const at = url.indexOf('?')
  return at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at)]
}

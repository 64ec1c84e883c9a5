import { ApiError, callApi } from '../shared/api.ts'
import { type Answer, type Challenge, parseChallenge } from './challenge.ts'

/** One answer of the flow executor. */
export interface Step {
  challenge: Challenge
  requestId: string
}

/**
 * Asks for the current challenge of a flow.
 * @param search `location.search` of the page; it carries `next` and the request the flow serves
 * @throws ApiError
 */
export function fetchStep(slug: string, search: string): Promise<Step> {
  return call('GET', slug, search)
}

/**
 * Answers the current challenge.
 * @param component the challenge's own `component`; the server ignores answers to another one
 * @throws ApiError
 */
export function sendAnswer(slug: string, search: string, component: string, answer: Answer): Promise<Step> {
  return call('POST', slug, search, { ...answer, component })
}

async function call(method: 'GET' | 'POST', slug: string, search: string, body?: Answer): Promise<Step> {
  const query = encodeURIComponent(search.replace(/^\?/, ''))
  const path = `/api/v3/flows/executor/${encodeURIComponent(slug)}/?query=${query}`
  const answer = await callApi(method, path, body)
  const challenge = parseChallenge(answer.body)
  if (challenge === null) {
    throw new ApiError(
      200,
      'no_challenge',
      'The server sent an answer this page cannot read.',
      answer.requestId,
    )
  }
  return { challenge, requestId: answer.requestId }
}

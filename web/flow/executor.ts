import { ApiError, callApi } from '../shared/api.ts'
import { type Answer, type Challenge, parseChallenge } from './challenge.ts'

/** One answer of the flow executor. */
export interface Step {
  challenge: Challenge
  requestId: string
  /** the server's step counter, said back with the answer: one given to a challenge that is over changes nothing */
  counter: string
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
 * @param step the one that is answered; the server ignores answers to another component or an older step
 * @throws ApiError
 */
export function sendAnswer(slug: string, search: string, step: Step, answer: Answer): Promise<Step> {
  const { challenge, counter } = step
  const headers = counter === '' ? undefined : { 'X-Flow-Step': counter }
  return call('POST', slug, search, { ...answer, component: challenge.component }, headers)
}

async function call(
  method: 'GET' | 'POST',
  slug: string,
  search: string,
  body?: Answer,
  headers?: Record<string, string>,
): Promise<Step> {
  const query = encodeURIComponent(search.replace(/^\?/, ''))
  const path = `/api/v3/flows/executor/${encodeURIComponent(slug)}/?query=${query}`
  const answer = await callApi(method, path, body, headers)
  const challenge = parseChallenge(answer.body)
  if (challenge === null) {
    throw new ApiError(
      200,
      'no_challenge',
      'The server sent an answer this page cannot read.',
      answer.requestId,
    )
  }
  return { challenge, requestId: answer.requestId, counter: answer.header('x-flow-step') }
}

// A job as pg-boss stores it: our envelope in `data`, and the options that make pg-boss treat it as its actor asks.
import type { SendOptions } from 'pg-boss'
import type { SettledActor } from './actor.ts'

/** What an administrator knows the task by, e.g. `{ app: 'authentik_outposts', model: 'outpost', id: '…' }`. */
export interface TaskObject {
  app: string
  model: string
  id: string
}

export interface Envelope {
  actor: string
  payload: unknown
  /** Shown in lists beside the actor, e.g. the name of the object. */
  uid?: string
  object?: TaskObject
  /** Somebody cancelled it while it ran; whoever has it next ends it. */
  cancelled?: true
}

/** A job that was claimed. */
export interface ClaimedJob {
  id: string
  /** Counts the attempts before this one, and names the claim. */
  retryCount: number
  priority: number
  createdOn: Date
  startedOn: Date
  data: unknown
  output: unknown
  /** Others may wait until this one is settled. */
  keyed: boolean
}

export const heartbeatSeconds = 20
/** Beyond the time limit, for the claim; the limit itself is kept by the worker. */
const claimGraceSeconds = 60
/** Waiting jobs are never deleted for their age. */
const forEverSeconds = 60 * 365 * 86_400

/**
 * @param key at most one job with the same key waits
 */
export function sendOptions(
  actor: SettledActor,
  key: string,
  options: { id?: string; priority?: number; delayMs?: number; heartbeatSeconds?: number },
): SendOptions {
  return {
    ...(options.id === undefined ? {} : { id: options.id }),
    priority: options.priority ?? 0,
    ...(options.delayMs === undefined || options.delayMs <= 0 ? {} : { startAfter: options.delayMs / 1000 }),
    singletonKey: key,
    group: { id: actor.name, ...(actor.limit === undefined ? {} : { tier: tierOf(actor.limit) }) },
    retryLimit: actor.retries,
    // pg-boss retries only what was lost with its worker; failures wait as their actor says (`retryDelayMs`).
    retryDelay: 1,
    retryBackoff: true,
    retryDelayMax: maxBackoffSeconds,
    expireInSeconds: actor.timeLimitSeconds + claimGraceSeconds,
    heartbeatSeconds: options.heartbeatSeconds ?? heartbeatSeconds,
    retentionSeconds: forEverSeconds,
    // Ended jobs are deleted as they end; this is for those the supervisor ended because their worker was lost.
    deleteAfterSeconds: 86_400,
  }
}

export const maxBackoffSeconds = 3600

/** Wait before the next attempt: doubling, with jitter so that what failed together does not return together. */
export function retryDelayMs(backoffSeconds: number, retryCount: number, random = Math.random): number {
  const seconds = Math.min(maxBackoffSeconds, backoffSeconds * 2 ** Math.min(retryCount, 16))
  return Math.round(seconds * 1000 * (0.75 + random() / 2))
}

export function tierOf(limit: number): string {
  return `limit-${limit}`
}

/** @returns null when the job is none of ours */
export function readEnvelope(data: unknown): Envelope | null {
  if (data === null || typeof data !== 'object') return null
  const { actor, payload, uid, object, cancelled } = data as Record<string, unknown>
  if (typeof actor !== 'string') return null
  return {
    actor,
    payload,
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(isObject(object) ? { object } : {}),
    ...(cancelled === true ? { cancelled } : {}),
  }
}

function isObject(value: unknown): value is TaskObject {
  if (value === null || typeof value !== 'object') return false
  const { app, model, id } = value as Record<string, unknown>
  return typeof app === 'string' && typeof model === 'string' && typeof id === 'string'
}

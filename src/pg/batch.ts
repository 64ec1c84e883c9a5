// Many small questions of one turn of the event loop as one statement: the round trip and the server's work per statement are paid
// once. While as many statements as allowed are under way, what comes meanwhile waits for the next.
import { currentLane, inLane, type Lane } from './lane.ts'

interface Waiting<In, Out> {
  item: In
  resolve: (answer: Out) => void
  reject: (error: unknown) => void
}

/**
 * A function that gathers its calls. Callers of different lanes of the pool are never gathered with each other.
 * @param options.run answers a list of items, in their order; what it throws goes to every caller of that list
 * @param options.most items in one list
 * @param options.atOnce lists under way at a time, per lane
 */
export function gather<In, Out>(options: {
  run: (items: In[]) => Promise<Out[]>
  most: number
  atOnce: number
}): (item: In) => Promise<Out> {
  const { run, most, atOnce } = options
  const lanes = new Map<Lane, { waiting: Waiting<In, Out>[]; underWay: number; scheduled: boolean }>()

  return item =>
    new Promise((resolve, reject) => {
      const lane = currentLane()
      const state = lanes.get(lane) ?? { waiting: [], underWay: 0, scheduled: false }
      lanes.set(lane, state)
      state.waiting.push({ item, resolve, reject })
      if (state.scheduled || state.underWay >= atOnce) return
      state.scheduled = true
      setImmediate(() => {
        state.scheduled = false
        inLane(lane, () => send(state))
      })
    })

  function send(state: { waiting: Waiting<In, Out>[]; underWay: number }): void {
    while (state.waiting.length > 0 && state.underWay < atOnce) {
      const list = state.waiting.splice(0, most)
      state.underWay++
      void answer(list).finally(() => {
        state.underWay--
        send(state)
      })
    }
  }

  async function answer(list: Waiting<In, Out>[]): Promise<void> {
    try {
      const answers = await run(list.map(({ item }) => item))
      for (const [at, { resolve }] of list.entries()) resolve(answers[at] as Out)
    } catch (error) {
      for (const { reject } of list) reject(error)
    }
  }
}

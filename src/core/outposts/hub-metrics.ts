// What Prometheus is told about connected outposts, read from the hub when it is asked for.
import { Gauge, type Registry } from 'prom-client'
import type { Hub } from './hub.ts'

/** @param options.tenant value of the label `tenant`: the schema */
export function registerHubMetrics(options: {
  registry: Registry
  hub: Pick<Hub, 'links'>
  tenant: string
}): void {
  const { registry, hub, tenant } = options
  new Gauge({
    name: 'authentik_outposts_connected',
    help: 'Processes of outposts connected to this process of Core',
    labelNames: ['tenant', 'outpost', 'uid', 'expected'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { outpostName: outpost, instanceId: uid, expected } of hub.links())
        this.inc({ tenant, outpost, uid, expected })
    },
  })
  new Gauge({
    name: 'authentik_outposts_last_update',
    help: 'Unix time of the last frame of each connected process of an outpost',
    labelNames: ['tenant', 'outpost', 'uid', 'version'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { outpostName: outpost, instanceId: uid, version, lastFrameAt } of hub.links()) {
        const at = Date.now() - (performance.now() - lastFrameAt)
        this.set({ tenant, outpost, uid, version }, Math.round(at / 1000))
      }
    },
  })
}

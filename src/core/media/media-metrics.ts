// What Prometheus is told about media files, read when it is asked for.
import { Counter, type Registry } from 'prom-client'
import type { MediaFigures } from './serve.ts'

export function registerMediaMetrics(options: { registry: Registry; media: MediaFigures }): void {
  const { registry, media } = options
  new Counter({
    name: 'authentik_media_missing_total',
    help: 'Requests for media files that the database knows and this process could not read from its folder',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(media.missing())
    },
  })
}

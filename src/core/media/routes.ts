// Media files: what administrators upload to show (icons, logos, backgrounds), and the way it reaches a browser.
//
// Owns `/api/v3/admin/file/`, `/media/public/…` and the table `media_files`. Which texts of applications, brands and flows mean a file is
// for `address.ts`; what is uploaded elsewhere (a URL, a path of the web build) is none of its business.
import type { FastifyInstance } from 'fastify'
import { errorText } from '../../log.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { registerFileRoutes } from './files-api.ts'
import { mediaPath } from './names.ts'
import { createMediaHandler, type MediaFigures } from './serve.ts'
import { createMediaStore, prepareMediaDirectory } from './store.ts'

/** @returns what Prometheus is told about the files */
export function registerMediaRoutes(app: CoreApp, core: Core): MediaFigures {
  const store = createMediaStore(core.mediaDirectory)
  registerFileRoutes(app, core, store)
  const { sendMedia, figures } = createMediaHandler(core, store)
  const scope = app as unknown as FastifyInstance
  scope.route({
    method: ['GET', 'HEAD'],
    url: `${mediaPath}*`,
    config: { access: 'public' },
    handler: sendMedia,
  })
  app.addHook('onReady', async () => {
    if (core.mediaDirectory === '') return
    await prepareMediaDirectory(core.mediaDirectory).catch(error =>
      core.log.warning('files cannot be uploaded: the media folder cannot be written', {
        directory: core.mediaDirectory,
        setting: 'AUTHENTIK_STORAGE__MEDIA__FILE__PATH',
        error: errorText(error),
      }),
    )
    // Nobody waits for what crashed writers left behind.
    store
      .sweep()
      .catch(error => core.log.warning('media folder cannot be swept', { error: errorText(error) }))
  })
  return figures
}

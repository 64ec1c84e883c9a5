// The nginx example, in a real nginx.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, programPath, startFront, testFolder } from './front-proxy.ts'
import { walkBehind } from './front-walk.ts'

test('behind nginx: login, identity, allow-list, upgrade, sign-out, SESSION_END', async t => {
  const program = programPath('nginx', 'nginx-light')
  const folder = await testFolder(t)
  await mkdir(join(folder, 'tmp'))
  await walkBehind(t, async ({ outpostPort, upstreamPort }) => {
    const port = await freePort()
    const example = await readFile(join(import.meta.dirname, '../../examples/nginx/app.conf'), 'utf8')
    const server = example
      .replace('listen 80;', `listen 127.0.0.1:${port};`)
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${upstreamPort}`)
      .replaceAll('127.0.0.1:9000', `127.0.0.1:${outpostPort}`)
    const file = join(folder, 'nginx.conf')
    await writeFile(file, nginxConf(folder, server))
    await startFront(t, { program, args: ['-c', file, '-p', folder, '-e', join(folder, 'error.log')], port })
    return port
  })
})

/** nginx keeps everything in the folder, so that it runs as anyone and beside others. */
function nginxConf(folder: string, server: string): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/tmp/${name};`)
    .join('\n')
  return `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {}
http {
access_log off;
${temp}
map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
${server}
}
`
}

// The warm path as a ratio to what Node can do at best in the same minutes: forward auth against a bare server, proxying against a
// bare undici proxy. Rounds alternate, medians count, so that a busy machine disturbs both sides alike.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launcherFlags } from '../bin/launcher-flags.js'
import { type BenchProcess, startBenchProcess } from './bench-process.ts'

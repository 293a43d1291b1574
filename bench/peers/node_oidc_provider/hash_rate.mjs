// Print how many passwords a second of processor time verifies: `node hash_rate.mjs SETTINGS.json`.
import { readFileSync } from 'node:fs'

import argon2 from 'argon2'

const HASHES = 60
const { password, password_hash: stored } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
await argon2.verify(stored, password)
const began = process.cpuUsage()
for (let done = 0; done < HASHES; done += 1) {
  if (!(await argon2.verify(stored, password))) throw new Error('wrong password')
}
const used = process.cpuUsage(began)
console.log(HASHES / ((used.user + used.system) / 1e6))

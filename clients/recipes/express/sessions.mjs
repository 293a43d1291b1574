// Sessions in the memory of one process, found by cookie or by the provider's `sid` and `sub`. Several processes
// need a shared store (connect-redis, connect-pg-simple) that can search by `sid` and `sub`.
import session from 'express-session'

export class Sessions extends session.Store {
  #sessions = new Map()

  constructor(everySeconds = 60) {
    super()
    setInterval(() => this.#deleteExpired(), everySeconds * 1000).unref()
  }

  get(id, done) {
    const found = this.#sessions.get(id)
    done(null, found && found.until > Date.now() ? JSON.parse(found.json) : null)
  }

  set(id, data, done) {
    const { sub, sid } = data.claims ?? {}
    this.#sessions.set(id, { json: JSON.stringify(data), until: new Date(data.cookie.expires).getTime(), sub, sid })
    done?.(null)
  }

  destroy(id, done) {
    this.#sessions.delete(id)
    done?.(null)
  }

  // End the session `sid`, or all sessions of `sub` without a `sid`.
  end({ sub, sid }) {
    for (const [id, found] of this.#sessions) {
      if (sid ? found.sid === sid : found.sub === sub) this.#sessions.delete(id)
    }
  }

  #deleteExpired() {
    for (const [id, found] of this.#sessions) if (found.until <= Date.now()) this.#sessions.delete(id)
  }
}

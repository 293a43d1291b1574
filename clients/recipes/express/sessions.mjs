// Sessions in the memory of one process, found by their cookie, and by what the provider calls them. Several processes
// need a store that they share (connect-redis, connect-pg-simple) and can search by `sid` and `sub`.
import session from 'express-session'

export class Sessions extends session.Store {
  #kept = new Map()

  constructor(everySeconds = 60) {
    super()
    setInterval(() => this.#forgetOld(), everySeconds * 1000).unref()
  }

  get(id, done) {
    const found = this.#kept.get(id)
    done(null, found && found.until > Date.now() ? JSON.parse(found.json) : null)
  }

  set(id, data, done) {
    const { sub, sid } = data.claims ?? {}
    this.#kept.set(id, { json: JSON.stringify(data), until: new Date(data.cookie.expires).getTime(), sub, sid })
    done?.(null)
  }

  destroy(id, done) {
    this.#kept.delete(id)
    done?.(null)
  }

  // The provider ended the session `sid`, or all those of `sub` when it names none.
  end({ sub, sid }) {
    for (const [id, found] of this.#kept) {
      if (sid ? found.sid === sid : found.sub === sub) this.#kept.delete(id)
    }
  }

  #forgetOld() {
    for (const [id, found] of this.#kept) if (found.until <= Date.now()) this.#kept.delete(id)
  }
}

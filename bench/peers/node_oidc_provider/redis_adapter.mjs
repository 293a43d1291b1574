// Keeps the models of node-oidc-provider in Redis, in the form that its documentation describes for adapters: one value
// for each model, an index by uid and by user code, and a set of the keys of each grant.
import Redis from 'ioredis'

const GRANTABLE = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken'])
const grantKey = (id) => `grant:${id}`

export function adapterFor(url) {
  const redis = new Redis(url)

  return class {
    constructor(name) {
      this.name = name
    }

    key(id) {
      return `${this.name}:${id}`
    }

    index(kind, value) {
      return `${this.name}:${kind}:${value}`
    }

    async upsert(id, payload, expiresIn) {
      const key = this.key(id)
      const commands = redis.multi()
      commands.hset(key, 'payload', JSON.stringify(payload))
      if (expiresIn) commands.expire(key, expiresIn)
      if (GRANTABLE.has(this.name) && payload.grantId) {
        commands.sadd(grantKey(payload.grantId), key)
        if (expiresIn) commands.expire(grantKey(payload.grantId), expiresIn)
      }
      for (const kind of ['uid', 'userCode']) {
        if (payload[kind]) commands.set(this.index(kind, payload[kind]), id, 'EX', expiresIn || 86400)
      }
      await commands.exec()
    }

    async find(id) {
      const { payload, consumed } = await redis.hgetall(this.key(id))
      if (!payload) return undefined
      const model = JSON.parse(payload)
      if (consumed) model.consumed = Number(consumed)
      return model
    }

    async findByUid(uid) {
      const id = await redis.get(this.index('uid', uid))
      return id ? this.find(id) : undefined
    }

    async findByUserCode(userCode) {
      const id = await redis.get(this.index('userCode', userCode))
      return id ? this.find(id) : undefined
    }

    async consume(id) {
      await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000))
    }

    async destroy(id) {
      await redis.del(this.key(id))
    }

    async revokeByGrantId(grantId) {
      const keys = await redis.smembers(grantKey(grantId))
      await redis.del(grantKey(grantId), ...keys)
    }
  }
}

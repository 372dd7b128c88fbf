// What a script finds around it: variables, a log, and HTTP by asking. Time and chance are given, so that
// the same script with the same answers does the same each time. Called with the global object and
// {variables, own, answers, now, seed}; gives back what the engine calls.
(function (global, given) {
  "use strict";
  const state = { done: false, exit: null, error: null, set: {}, log: [], asks: [] };
  const has = Object.prototype.hasOwnProperty;
  const stringify = JSON.stringify, parse = JSON.parse;

  function shown(value) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return String(value);
    const text = stringify(value);
    return text === undefined ? String(value) : text;
  }

  function words(error) {
    return String((error && error.message) || error).slice(0, 300);
  }

  // A flow's own variables may be named with or without `flow.`.
  function full(name) {
    name = String(name);
    return !has.call(given.variables, name) && has.call(given.variables, "flow." + name)
      ? "flow." + name
      : name;
  }

  global.get = function get(name) {
    name = full(name);
    if (has.call(state.set, name)) return state.set[name];
    return has.call(given.variables, name) ? given.variables[name] : null;
  };
  global.set = function set(name, value) {
    name = full(name);
    if (given.own.indexOf(name) < 0) throw new Error("the flow has no variable " + name);
    state.set[name] = value === undefined ? null : value;
  };
  global.log = function log() {
    if (state.log.length >= 50) return;
    const parts = Array.prototype.map.call(arguments, shown);
    state.log.push(parts.join(" ").slice(0, 500));
  };

  function request(options) {
    const asked = Object(options);
    const ask = {
      method: String(asked.method || "GET").toUpperCase(),
      url: String(asked.url),
      headers: [],
      body: null,
      json: false,
      credential: asked.credential === undefined ? null : String(asked.credential),
      timeout: asked.timeout === undefined ? null : Number(asked.timeout),
    };
    for (const name of Object.keys(Object(asked.headers))) {
      ask.headers.push([name, String(asked.headers[name])]);
    }
    if (asked.body !== undefined && asked.body !== null) {
      ask.json = typeof asked.body !== "string";
      ask.body = ask.json ? stringify(asked.body) : asked.body;
    }
    const answer = given.answers[state.asks.length];
    state.asks.push(ask);
    // Nobody has answered yet: the script waits here, and is run again once somebody has.
    if (answer === undefined) return new Promise(function () {});
    if (answer.failed !== null) return Promise.reject(new Error(answer.failed));
    let body = null;
    try {
      body = parse(answer.text);
    } catch (_) {
      // It is no JSON.
    }
    const ok = answer.status >= 200 && answer.status < 300;
    return Promise.resolve({ status: answer.status, ok: ok, text: answer.text, body: body });
  }
  function without(method) {
    return (url, options) => request(Object.assign({}, options, { method: method, url: url }));
  }
  function with_body(method) {
    return (url, body, options) =>
      request(Object.assign({}, options, { method: method, url: url, body: body }));
  }
  global.http = Object.freeze({
    request: request,
    get: without("GET"),
    delete: without("DELETE"),
    post: with_body("POST"),
    put: with_body("PUT"),
    patch: with_body("PATCH"),
  });

  const Given = Date;
  global.Date = class Date extends Given {
    constructor(...parts) {
      if (parts.length === 0) super(given.now);
      else super(...parts);
    }
    static now() {
      return given.now;
    }
  };
  let seed = given.seed | 0;
  Math.random = function random() {
    // Mulberry32.
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  // What these tell depends on when memory is freed, or how long something took.
  delete global.WeakRef;
  delete global.FinalizationRegistry;
  delete global.performance;

  return {
    start(main) {
      if (typeof main !== "function") {
        state.error = "there is no function main";
        state.done = true;
        return;
      }
      const end = (exit) => {
        state.done = true;
        state.exit = exit === undefined || exit === null ? null : shown(exit).slice(0, 1024);
      };
      const fail = (error) => {
        state.done = true;
        state.error = words(error);
      };
      try {
        Promise.resolve(main()).then(end, fail);
      } catch (error) {
        fail(error);
      }
    },
    read() {
      return stringify(state);
    },
  };
});

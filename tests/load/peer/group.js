// What has arrived together is handled together; a lone item never waits for company. The same
// rule as the measured product follows, so that neither side gains by grouping alone.
'use strict';

/// Hands items to `handle` in groups of at most `most`; `handle` returns one answer per item.
class Group {
  constructor(most, handle) {
    this.most = most;
    this.handle = handle;
    this.waiting = [];
    this.busy = false;
  }

  submit(item) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (!this.busy) {
        this.busy = true;
        // After the callbacks of this turn of the event loop, so that what came in one read goes
        // together.
        setImmediate(() => this.run());
      }
    });
  }

  async run() {
    while (this.waiting.length > 0) {
      const group = this.waiting.splice(0, this.most);
      try {
        const answers = await this.handle(group.map((one) => one.item));
        group.forEach((one, at) => one.resolve(answers[at]));
      } catch (error) {
        group.forEach((one) => one.reject(error));
      }
    }
    this.busy = false;
  }
}

module.exports = { Group };

/** Ask the service again and again while a view is in sight. */

export const WINDOWS = [["1m", "last minute"], ["5m", "last 5 minutes"], ["1h", "last hour"]];

/** One question, asked every so often, never twice at a time. */
export class Poll {
  /** @param {{everyMs: number, ask: () => Promise, show: (answer) => void, fail: (error: Error) => void}} told */
  constructor({ everyMs, ask, show, fail }) {
    Object.assign(this, { everyMs, ask, answered: show, failed: fail });
    this.timer = null;
    this.round = 0;
  }

  start() {
    this.running = true;
    return this.now();
  }

  stop() {
    this.running = false;
    this.round += 1;
    clearTimeout(this.timer);
  }

  /** Ask at once: what was asked before counts no more. */
  async now() {
    if (!this.running) return;
    clearTimeout(this.timer);
    const round = (this.round += 1);
    try {
      const answer = document.hidden ? null : await this.ask();
      if (round === this.round && answer !== null) this.answered(answer);
    } catch (error) {
      if (round === this.round && error.status !== 401) this.failed(error);
    }
    if (round === this.round) this.timer = setTimeout(() => this.now(), this.everyMs);
  }
}

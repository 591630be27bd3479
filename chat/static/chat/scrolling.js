/** Keeps a log at its newest line - but only while the reader is there. */

const NEAR_PIXELS = 48;

export class StickyScroll {
  /**
   * @param {HTMLElement} box  what scrolls
   * @param {HTMLElement} content  what grows inside it
   * @param {HTMLButtonElement} toLatest  shown while the reader is elsewhere
   */
  constructor(box, content, toLatest) {
    this._box = box;
    this._toLatest = toLatest;
    this._isStuck = true;
    this._lastTop = 0;
    this._lastHeight = 0;
    box.addEventListener("scroll", () => this._onScroll(), { passive: true });
    toLatest.addEventListener("click", () => {
      this.stick();
      box.focus({ preventScroll: true });
    });
    // Opening "What it thought" makes the log grow above its end: what was clicked must stay where it is.
    box.addEventListener("click", (event) => {
      if (event.target instanceof Element && event.target.closest("summary")) this._isStuck = false;
    });
    const observer = new ResizeObserver(() => this._onGrowth());
    observer.observe(content);
    observer.observe(box);
  }

  stick() {
    this._isStuck = true;
    this._onGrowth();
  }

  /** Runs `change`, which adds something above, and leaves what the reader sees where it is. @param {() => void} change */
  keepPlace(change) {
    const fromEnd = this._box.scrollHeight - this._box.scrollTop;
    this._isStuck = false;
    change();
    this._box.scrollTop = this._box.scrollHeight - fromEnd;
  }

  _onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this._box;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
    // Only the reader's moving up unsticks: when content grows, the end is far away for a moment, too, and when it shrinks,
    // the browser moves up by itself.
    if (isAtEnd) this._isStuck = true;
    else if (scrollTop < this._lastTop && scrollHeight >= this._lastHeight) this._isStuck = false;
    this._lastTop = scrollTop;
    this._lastHeight = scrollHeight;
    this._show();
  }

  _onGrowth() {
    if (this._isStuck) this._box.scrollTop = this._box.scrollHeight;
    this._show();
  }

  _show() {
    const { scrollTop, scrollHeight, clientHeight } = this._box;
    this._toLatest.hidden = this._isStuck || scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
  }
}

/** On a narrow screen the list of conversations is a drawer; on a wide one it stands at the side. */

export class Drawer {
  /** @param {{drawer: HTMLElement, toggle: HTMLElement, close: HTMLElement, shade: HTMLElement, rest: HTMLElement}} elements */
  constructor({ drawer, toggle, close, shade, rest }) {
    this._drawer = drawer;
    this._toggle = toggle;
    this._shade = shade;
    this._rest = rest;
    this._close = close;
    this._isOpen = false;
    this._narrow = window.matchMedia("(max-width: 760px)");
    this._narrow.addEventListener("change", () => this._set(false));
    toggle.addEventListener("click", () => this._set(true));
    for (const element of [close, shade]) element.addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this._isOpen) this.close();
    });
    this._set(false);
  }

  close() {
    const wasOpen = this._isOpen;
    this._set(false);
    if (wasOpen) this._toggle.focus();
  }

  /** @param {boolean} isOpen */
  _set(isOpen) {
    this._isOpen = isOpen && this._narrow.matches;
    this._drawer.classList.toggle("open", this._isOpen);
    this._shade.hidden = !this._isOpen;
    this._toggle.setAttribute("aria-expanded", String(this._isOpen));
    // Neither the closed drawer nor the page behind an open one can be reached by Tab.
    this._drawer.inert = this._narrow.matches && !this._isOpen;
    this._rest.inert = this._isOpen;
    if (this._isOpen) this._close.focus();
  }
}

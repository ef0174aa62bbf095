// @ts-check

const FILE = /\.(7z|apk|avi|csv|dmg|docx?|epub|exe|gz|iso|mov|mp3|mp4|mpe?g|msi|ods|odt|pdf|pkg|pptx?|rar|rtf|tar|tgz|txt|wav|webm|xlsx?|xz|zip)$/i;

/**
 * Says what following a link is, if it is more than the next page.
 *
 * @param {string} href absolute.
 * @param {string} host of the page, with its port.
 * @param {boolean} isDownload the link says of itself that it is one.
 * @returns {"file_download" | "outbound_click" | undefined} a file elsewhere is a download.
 */
export function kindOfLink(href, host, isDownload) {
  const url = new URL(href);
  // A mail, a telephone number or a script is neither.
  if (!/^https?:/.test(url.protocol)) return;
  if (isDownload || FILE.test(url.pathname)) return "file_download";
  if (url.host !== host) return "outbound_click";
}

/**
 * Watches clicks on what is marked `data-dewpond-click="name"`, and on links. In the capture phase: a page
 * that stops a click for itself has been clicked too.
 *
 * @param {(element: Element, name: string) => void} onMarked
 * @param {(kind: "file_download" | "outbound_click", href: string) => void} onLink
 */
export function watchClicks(onMarked, onLink) {
  /** @param {MouseEvent} event */
  const onClick = ({ target, button }) => {
    // The middle button opens a link, the right one only a menu.
    if (button > 1 || !(target instanceof Element)) return;
    const marked = target.closest("[data-dewpond-click]");
    if (marked && !button) onMarked(marked, marked.getAttribute("data-dewpond-click") ?? "");
    const link = target.closest("a[href]");
    if (link) {
      const href = new URL(link.getAttribute("href") ?? "", document.baseURI).href;
      const kind = kindOfLink(href, location.host, link.hasAttribute("download"));
      if (kind) onLink(kind, href);
    }
  };
  addEventListener("click", onClick, true);
  addEventListener("auxclick", onClick, true);
}

// The pages of a table that is too long for one.
import { t } from "../words";

/** Nothing, if there is only one page. `page` counts from 0. */
export function Pager({ page, pages, onTurn }: { page: number; pages: number; onTurn: (page: number) => void }) {
  if (pages <= 1) return null;
  return (
    <nav class="pager" aria-label={t("Pages of the table")}>
      <button type="button" class="button" disabled={page === 0} onClick={() => onTurn(page - 1)}>{t("Back")}</button>
      <span class="muted">{t("Page {page} of {pages}", { page: page + 1, pages })}</span>
      <button type="button" class="button" disabled={page + 1 >= pages} onClick={() => onTurn(page + 1)}>{t("Next")}</button>
    </nav>
  );
}

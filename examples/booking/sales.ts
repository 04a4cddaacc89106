// What a show has sold, over all its sections: a read model, made by a subscription to what the sections emit. Each sale is counted
// once, a moment after it was made.

import { subscription } from "sheaf";
import { Sales, Section } from "./contracts.ts";

export const sales = Sales.implement({
  initial: () => ({ sold: 0 }),
  count({ state }) {
    state.sold++;
  },
  sold: ({ state }) => state.sold,
});

export const showOf = (section: string): string => section.slice(0, section.indexOf("."));

export const countSales = subscription("count-sales", Section.topic("sold")).into(Sales, "count", ({ key }) => ({
  key: showOf(key),
}));

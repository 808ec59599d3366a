// Before the first paint: the base address, which the server says relative to the page that was asked for, and must stay where it is
// when the page changes its address; and the reader's theme, so that a dark page does not flash white.
(function () {
  var base = document.querySelector("base");
  base.setAttribute("href", base.href);
  var theme = "auto";
  try {
    theme = JSON.parse(localStorage.getItem("hinomi.settings") || "{}").theme || "auto";
  } catch (e) {
    theme = "auto";
  }
  var dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.dataset.mantineColorScheme = dark ? "dark" : "light";
})();

// Before the first paint: the reader's theme, so that a dark page does not flash white.
(function () {
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

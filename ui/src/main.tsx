/** Entry: language first, then the page. */
import { MantineProvider, createTheme } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { App } from "./app";
import { ApiError, PREFIX } from "./api/client";
import { startLanguage } from "./i18n";
import { useDark } from "./state";
import "./styles/mantine.css";
import "./styles/app.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 3000,
      refetchOnWindowFocus: false,
      // A question the server refused will be refused again; only silence is asked twice.
      retry: (n, e) => n < 1 && !(e instanceof ApiError && e.status >= 400),
      retryDelay: 500,
    },
  },
});

const theme = createTheme({
  fontFamily: "var(--sans)",
  fontFamilyMonospace: "var(--mono)",
  primaryColor: "dark",
  defaultRadius: 3,
  focusRing: "auto",
  cursorType: "pointer",
});

function Root() {
  const dark = useDark();
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }, [dark]);
  return (
    <MantineProvider theme={theme} forceColorScheme={dark ? "dark" : "light"} withCssVariables withGlobalClasses={false}>
      <QueryClientProvider client={client}>
        <Router base={PREFIX}>
          <App />
        </Router>
      </QueryClientProvider>
    </MantineProvider>
  );
}

void startLanguage().finally(() => {
  const root = document.getElementById("root");
  if (root) {
    createRoot(root).render(
      <StrictMode>
        <Root />
      </StrictMode>,
    );
  }
});

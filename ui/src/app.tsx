/** Routes. Each page but the first is loaded when it is opened. */
import { Component, type ReactNode, Suspense, lazy } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { useSearch } from "wouter/use-browser-location";
import { Frame } from "./frame/Frame";
import { AGENT, ALONE } from "./api/client";
import { wordOfMissing } from "./frame/pages";
import { classicRedirect } from "./lib/urlstate";
import { ErrorBox, Waiting } from "./parts/parts";
import { Overview } from "./pages/Overview";

const Host = lazy(() => import("./pages/Host"));
const Explore = lazy(() => import("./pages/Explore"));
const Alerts = lazy(() => import("./pages/Alerts"));
const Silences = lazy(() => import("./pages/Silences"));
const Maintenance = lazy(() => import("./pages/Maintenance"));
const History = lazy(() => import("./pages/History"));
const Receivers = lazy(() => import("./pages/Receivers"));
const Routes = lazy(() => import("./pages/Routes"));
const Targets = lazy(() => import("./pages/Targets"));
const Discovery = lazy(() => import("./pages/Discovery"));
const Rules = lazy(() => import("./pages/Rules"));
const Status = lazy(() => import("./pages/Status"));
const Cardinality = lazy(() => import("./pages/Cardinality"));
const Config = lazy(() => import("./pages/Config"));
const Flags = lazy(() => import("./pages/Flags"));
const Alertmanagers = lazy(() => import("./pages/Alertmanagers"));
const NotInAgent = lazy(() => import("./pages/NotInAgent"));
const NotFound = lazy(() => import("./pages/NotFound"));

/** A fault on one page must not take the frame with it. */
class Guard extends Component<{ children: ReactNode; path: string }, { error: unknown }> {
  override state: { error: unknown } = { error: undefined };
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override componentDidUpdate(before: { path: string }) {
    if (before.path !== this.props.path && this.state.error !== undefined) this.setState({ error: undefined });
  }
  override render() {
    return this.state.error === undefined ? this.props.children : <ErrorBox error={this.state.error} />;
  }
}

function Other() {
  const [path] = useLocation();
  const search = useSearch();
  const to = classicRedirect(path, search);
  return to === undefined ? <NotFound /> : <Redirect to={to} replace />;
}

/** The pages of an agent. Those of a server say that they are not here, and why. */
function Agent() {
  const [path] = useLocation();
  const missing = wordOfMissing(path);
  return (
    <Switch>
      <Route path="/"><Redirect to="/targets" replace /></Route>
      <Route path="/targets"><Targets /></Route>
      <Route path="/service-discovery"><Discovery /></Route>
      <Route path="/status"><Status /></Route>
      <Route path="/config"><Config /></Route>
      <Route path="/flags"><Flags /></Route>
      <Route>{missing === undefined ? <Other /> : <NotInAgent word={missing} />}</Route>
    </Switch>
  );
}

/** The pages of an Alertmanager alone. */
function Manager() {
  return (
    <Switch>
      <Route path="/"><Redirect to="/alerts" replace /></Route>
      <Route path="/alerts"><Alerts /></Route>
      <Route path="/silences"><Silences /></Route>
      <Route path="/history"><History /></Route>
      <Route path="/receivers"><Receivers /></Route>
      <Route path="/routes"><Routes /></Route>
      <Route path="/maintenance"><Maintenance /></Route>
      <Route path="/status"><Status /></Route>
      <Route path="/config"><Config /></Route>
      <Route path="/flags"><Flags /></Route>
      <Route><NotFound /></Route>
    </Switch>
  );
}

export function App() {
  const [path] = useLocation();
  return (
    <Frame>
      <Guard path={path}>
        <Suspense fallback={<Waiting />}>
          {ALONE ? <Manager /> : AGENT ? <Agent /> : <Switch>
            <Route path="/"><Overview /></Route>
            <Route path="/hosts/:instance">{(p) => <Host key={p.instance} instance={decodeURIComponent(p.instance)} />}</Route>
            <Route path="/explore"><Explore /></Route>
            <Route path="/alerts"><Alerts /></Route>
            <Route path="/silences"><Silences /></Route>
            <Route path="/history"><History /></Route>
            <Route path="/receivers"><Receivers /></Route>
            <Route path="/routes"><Routes /></Route>
            <Route path="/maintenance"><Maintenance /></Route>
            <Route path="/targets"><Targets /></Route>
            <Route path="/service-discovery"><Discovery /></Route>
            <Route path="/rules"><Rules /></Route>
            <Route path="/status"><Status /></Route>
            <Route path="/tsdb-status"><Cardinality /></Route>
            <Route path="/config"><Config /></Route>
            <Route path="/flags"><Flags /></Route>
            <Route path="/alertmanager-discovery"><Alertmanagers /></Route>
            <Route><Other /></Route>
          </Switch>}
        </Suspense>
      </Guard>
    </Frame>
  );
}

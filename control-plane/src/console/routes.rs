//! The table of routes: a router that can say what it serves, so that a test can ask of every route who may use it and none
//! can be forgotten.
//!
//! Knows no handler. `get` and `post` are axum's, and remember their method; the rest of axum's router is behind `map`.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::MethodRouter;

/// One way to ask the control plane for something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// With parameters in braces, as `/w/{slug}/keys`.
    pub path: String,
    pub method: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What answers at one path, by method.
pub struct Methods<S>(MethodRouter<S, Infallible>, Vec<Method>);

/// Answers `GET`, and `HEAD` with it.
pub fn get<H, T, S>(handler: H) -> Methods<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Methods(axum::routing::get(handler), vec![Method::GET])
}

/// Answers `POST`.
pub fn post<H, T, S>(handler: H) -> Methods<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Methods(axum::routing::post(handler), vec![Method::POST])
}

impl<S: Clone + Send + Sync + 'static> Methods<S> {
    /// Answers `POST` too.
    #[must_use]
    pub fn post<H, T>(mut self, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.1.push(Method::POST);
        Self(self.0.post(handler), self.1)
    }
}

/// A router that knows its routes.
pub struct Routes<S = ()> {
    router: Router<S>,
    listed: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), listed: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn route(mut self, path: &str, methods: Methods<S>) -> Self {
        let of = |method: Method| Route { path: path.to_owned(), method: method.to_string() };
        self.listed.extend(methods.1.into_iter().map(of));
        Self { router: self.router.route(path, methods.0), listed: self.listed }
    }

    /// Serves these below a prefix.
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Self) -> Self {
        // The router answers the inner root at the prefix itself, without a slash behind it.
        let below = |path: &str| format!("{prefix}{}", if path == "/" { "" } else { path });
        self.listed.extend(inner.listed.into_iter().map(|r| Route { path: below(&r.path), ..r }));
        Self { router: self.router.nest(prefix, inner.router), listed: self.listed }
    }

    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.listed.extend(other.listed);
        Self { router: self.router.merge(other.router), listed: self.listed }
    }

    /// Changes the router and none of its routes: layers, a fallback, the state.
    #[must_use]
    pub fn map<S2>(self, change: impl FnOnce(Router<S>) -> Router<S2>) -> Routes<S2> {
        Routes { router: change(self.router), listed: self.listed }
    }

    /// What it serves.
    #[must_use]
    pub fn list(&self) -> &[Route] {
        &self.listed
    }

    /// What it serves, when that is all one wants to know.
    #[must_use]
    pub fn into_list(self) -> Vec<Route> {
        self.listed
    }

    pub fn into_router(self) -> Router<S> {
        self.router
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing() {}

    #[test]
    fn each_method_of_each_path_is_listed_by_its_whole_path() {
        let inner = Routes::<()>::new().route("/", get(nothing)).route("/keys", get(nothing).post(nothing));
        let other = Routes::new().route("/login", post(nothing));
        let routes = Routes::new().nest("/w/{slug}", inner).merge(other);
        let listed: Vec<_> = routes.list().iter().map(ToString::to_string).collect();
        assert_eq!(listed, ["GET /w/{slug}", "GET /w/{slug}/keys", "POST /w/{slug}/keys", "POST /login"]);
    }
}

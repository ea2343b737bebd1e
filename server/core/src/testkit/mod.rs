//! A stage for tests: the real router on virtual time, with an in-memory store and visible XML.
//!
//! ```ignore
//! let mut scene = Scene::with(|r| { r.add::<Carbons>(); });
//! let [phone, laptop] = scene.sessions("alice@a.example", ["phone", "laptop"]);
//! let bob = scene.session("bob@a.example/desk");
//! phone.send("<message to='bob@a.example/desk'><body>hi</body></message>");
//! bob.expect("<message to='bob@a.example/desk' from='alice@a.example/phone'><body>hi</body></message>");
//! laptop.expect_nothing();
//! ```
//!
//! An expected attribute or text `*` matches anything. Accounts are created when they are first
//! mentioned. Nothing sleeps: when nobody has anything to do, the clock jumps.

mod device;
mod matching;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use longwire_stanza::BareJid;
use longwire_store::{JournalLimits, MemoryImage, MemoryOptions, Store, Table};
use tokio::runtime::{Builder, Runtime};

pub use self::device::Device;
pub use self::matching::{difference, parse};
use crate::clock::TokioClock;
use crate::feature::{Feature, NoConfig};
use crate::limits::Limits;
use crate::registrar::Registrar;
use crate::registry::Registry;
use crate::route::Hosts;
use crate::router::{Router, RouterConfig};
use crate::turn::Turn;

/// How a scene is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The domains that are served: `a.example` and `b.example`.
    pub hosts: Vec<&'static str>,
    /// The number of shards: 2.
    pub shards: usize,
    /// How long a commit takes: 5 ms.
    pub commit_delay: Duration,
    /// The journal's bounds: a group of one batch makes every turn durable by itself.
    pub journal: JournalLimits,
    /// The router's bounds.
    pub limits: Limits,
    /// Seeds all randomness; printed when an expectation fails.
    pub seed: u64,
    /// The table `feature` of the configuration, in TOML: `[ping]`...
    pub config: &'static str,
    /// The wall clock at the beginning, in microseconds since 1970: 2026-01-01T00:00:00Z.
    pub wall: u64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            hosts: vec!["a.example", "b.example"],
            shards: 2,
            commit_delay: Duration::from_millis(5),
            journal: JournalLimits::default(),
            limits: Limits::default(),
            seed: 1,
            config: "",
            wall: 1_767_225_600_000_000,
        }
    }
}

/// The server, a clock and a disk.
pub struct Scene {
    world: Rc<World>,
}

type Cast = Box<dyn Fn(&mut Registrar)>;

/// What a scene and its devices share.
pub(crate) struct World {
    runtime: Runtime,
    setting: Setting,
    cast: Cast,
    image: MemoryImage,
    clock: Arc<TokioClock>,
    router: RefCell<Option<Router>>,
    own_marker: Cell<bool>,
    accounts: RefCell<BTreeSet<BareJid>>,
}

impl Scene {
    /// A scene with these features and the default setting.
    pub fn with(cast: impl Fn(&mut Registrar) + 'static) -> Self {
        Self::set(Setting::default(), cast)
    }

    /// A scene with these features.
    ///
    /// # Panics
    /// The features clash, or the runtime cannot be made.
    pub fn set(setting: Setting, cast: impl Fn(&mut Registrar) + 'static) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let clock = {
            let _inside = runtime.enter();
            Arc::new(TokioClock::new(setting.wall))
        };
        let world = Rc::new(World {
            runtime,
            setting,
            cast: Box::new(cast),
            image: MemoryImage::default(),
            clock,
            router: RefCell::new(None),
            own_marker: Cell::new(false),
            accounts: RefCell::default(),
        });
        world.start();
        Self { world }
    }

    /// The registry that a list of features makes, as the scene would use it.
    ///
    /// # Panics
    /// The features clash.
    pub fn registry(cast: impl Fn(&mut Registrar)) -> Registry {
        let mut registrar = Registrar::new();
        cast(&mut registrar);
        finish(registrar)
    }

    /// Creates an account, if the scene has not yet.
    ///
    /// # Panics
    /// The features bring their own table of accounts: create it with [`in_home`](Self::in_home).
    pub fn account(&self, jid: &str) {
        self.world.account(&bare(jid));
    }

    /// Binds a session; `jid` is full, or bare for a resource that the server makes.
    pub fn session(&self, jid: &str) -> Device {
        let (account, resource) = match jid.split_once('/') {
            Some((account, resource)) => (account, Some(resource)),
            None => (jid, None),
        };
        let account = bare(account);
        self.world.account_if_own(&account);
        Device::bind(&self.world, &account, resource)
    }

    /// Binds several sessions of one account.
    pub fn sessions<const N: usize>(&self, account: &str, resources: [&str; N]) -> [Device; N] {
        resources.map(|resource| self.session(&format!("{account}/{resource}")))
    }

    /// Runs a job in a turn of an account's home.
    ///
    /// # Panics
    /// The job panicked, or the home is not available.
    pub fn in_home<R: Send + 'static>(
        &self,
        jid: &str,
        job: impl FnOnce(&mut Turn<'_>) -> R + Send + 'static,
    ) -> R {
        let router = self.router();
        self.block_on(router.in_home(&bare(jid), job)).expect("a turn")
    }

    /// Lets everything happen that is under way.
    pub fn settle(&self) {
        self.world.settle();
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.block_on(async { tokio::time::sleep(time).await });
    }

    /// The wall clock, in microseconds since 1970.
    pub fn wall(&self) -> u64 {
        use crate::clock::Clock as _;
        self.block_on(async { self.world.clock.wall() })
    }

    /// Runs a future in the scene's runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.world.runtime.block_on(future)
    }

    /// The router.
    pub fn router(&self) -> Router {
        self.world.router()
    }

    /// The "disk".
    pub fn disk(&self) -> MemoryImage {
        self.world.image.clone()
    }

    /// Stops the server in order and starts it again; all sessions end.
    pub fn restart(&mut self) {
        let router = self.router();
        self.block_on(async {
            router.shutdown().await;
            router.store().close().await;
        });
        self.world.start();
    }

    /// Pulls the plug and starts the server again: what was not durable is lost.
    pub fn crash(&mut self) {
        self.world.image.crash();
        self.world.settle();
        self.world.start();
    }
}

impl World {
    fn start(&self) {
        let config = self.setting.config.parse().expect("TOML");
        let mut registrar = Registrar::with_config(config);
        (self.cast)(&mut registrar);
        self.own_marker.set(!registrar.has_account_marker());
        let registry = finish(registrar);
        let config = RouterConfig {
            hosts: Hosts::new(self.setting.hosts.iter().map(|host| bare(host))),
            shards: self.setting.shards,
            limits: self.setting.limits.clone(),
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.setting.seed.to_le_bytes());
        let clock = Arc::clone(&self.clock);
        let router = self.runtime.block_on(async {
            let options = MemoryOptions {
                commit_delay: self.setting.commit_delay,
                image: self.image.clone(),
                limits: self.setting.journal,
            };
            let store = Store::memory(&registry.tables(), options).expect("a store");
            Router::start(config, registry, store, clock, seed).await.expect("a router")
        });
        *self.router.borrow_mut() = Some(router);
    }

    fn router(&self) -> Router {
        self.router.borrow().clone().expect("the scene has begun")
    }

    fn account_if_own(&self, account: &BareJid) {
        if self.own_marker.get() {
            self.account(account);
        }
    }

    fn account(&self, account: &BareJid) {
        assert!(self.own_marker.get(), "the features have accounts of their own: use in_home");
        if self.accounts.borrow_mut().insert(account.clone()) {
            let create = |turn: &mut Turn<'_>| turn.put(&ACCOUNTS, &(), ());
            let done = self.runtime.block_on(self.router().in_home(account, create));
            done.expect("an account");
        }
    }

    /// Virtual time passes only when nobody has anything to do, so one wait that is longer than
    /// a few commits lets everything happen.
    fn settle(&self) {
        let time = self.setting.commit_delay * 4 + Duration::from_millis(10);
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

fn finish(mut registrar: Registrar) -> Registry {
    if !registrar.has_account_marker() {
        registrar.add::<Accounts>();
    }
    registrar.finish().unwrap_or_else(|clashes| {
        let lines: Vec<String> = clashes.iter().map(ToString::to_string).collect();
        panic!("the features clash:\n{}", lines.join("\n"))
    })
}

fn bare(jid: &str) -> BareJid {
    BareJid::new(jid).expect("a bare JID")
}

/// The accounts of a scene whose features bring none.
const ACCOUNTS: Table<(), ()> = Table::account("scene_accounts", 1);

struct Accounts;

impl Feature for Accounts {
    const NAME: &'static str = "scene-accounts";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.account_marker(&ACCOUNTS);
    }
}

impl std::fmt::Debug for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene").field("setting", &self.world.setting).finish_non_exhaustive()
    }
}

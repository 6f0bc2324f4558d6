//! A kubelet for any number of nodes that starts nothing: it says of pods what a kubelet says while a trainer runs.
//!
//! Holds: a pod that was seen once lives once; every pod ends with the status, the exit code and the termination message
//! that a real one would leave; a pod that is deleted is gone within a second.

mod life;
mod node;
mod progress;
mod trainer;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use crate::store::Store;
use crate::work::Work;
use progress::Running;
pub use trainer::spec;

pub struct Kubelet {
    client: Client,
    pub store: Store,
    /// Pods that began.
    pods: AtomicUsize,
    /// What was evicted once and is not again.
    evicted: Mutex<HashSet<Work>>,
    next_address: AtomicU32,
    /// By the pod's address.
    running: Mutex<HashMap<Ipv4Addr, Running>>,
    /// What went wrong that no pod can tell.
    complaints: Mutex<Vec<String>>,
}

impl Kubelet {
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self {
            client,
            store: Store::default(),
            pods: AtomicUsize::default(),
            evicted: Mutex::default(),
            next_address: AtomicU32::default(),
            running: Mutex::default(),
            complaints: Mutex::default(),
        })
    }

    pub fn pods(&self) -> usize {
        self.pods.load(Ordering::Relaxed)
    }

    pub fn evictions(&self) -> usize {
        self.evicted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn complain(&self, text: String) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Registers so many nodes and runs the pods that are bound to them, until dropped.
    ///
    /// # Errors
    /// A node can't be registered; the port of the pods is taken.
    pub async fn run(self: Arc<Self>, nodes: usize) -> Result<()> {
        for number in 0..nodes {
            node::register(&self.client, &node::name(number)).await?;
        }
        let leases = node::keep_leases(self.client.clone(), nodes);
        let progress = progress::serve(self.clone());
        let pods = self.clone().watch();
        tokio::select! {
            ended = leases => ended,
            ended = progress => ended,
            () = pods => anyhow::bail!("the watch of pods ended"),
        }
    }

    async fn watch(self: Arc<Self>) {
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        let events = watcher(Api::<Pod>::all(self.client.clone()), bound).default_backoff();
        let mut events = std::pin::pin!(events);
        // By UID; the sender says whether the pod is to stop.
        let mut lives: HashMap<String, watch::Sender<bool>> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => self.see(pod, &mut lives),
                Ok(watcher::Event::Delete(pod)) => drop(lives.remove(&pod.uid().unwrap_or_default())),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => self.complain(format!("watching pods: {error}")),
            }
        }
    }

    fn see(self: &Arc<Self>, pod: Pod, lives: &mut HashMap<String, watch::Sender<bool>>) {
        let on_our_node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(node::is_ours);
        if !on_our_node {
            return;
        }
        let life = lives.entry(pod.uid().unwrap_or_default()).or_insert_with(|| {
            let (stop, stopped) = watch::channel(false);
            self.pods.fetch_add(1, Ordering::Relaxed);
            let (kubelet, pod) = (self.clone(), pod.clone());
            tokio::spawn(async move {
                let name = pod.name_any();
                if let Err(error) = life::live(&kubelet, &pod, stopped).await {
                    kubelet.complain(format!("pod {name}: {error:#}"));
                }
            });
            stop
        });
        if pod.metadata.deletion_timestamp.is_some() {
            life.send_replace(true);
        }
    }

    /// An address below 10.99.0.0/16, which run.sh routes to this process.
    fn address(&self) -> Ipv4Addr {
        let [_, _, high, low] = (self.next_address.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
        Ipv4Addr::new(10, 99, high, low)
    }

    /// Whether this is the first time that the work is to be evicted.
    fn evicts(&self, work: &Work) -> bool {
        self.evicted.lock().unwrap_or_else(PoisonError::into_inner).insert(work.clone())
    }

    fn set_running(&self, address: Ipv4Addr, running: Option<Running>) {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running {
            Some(running) => all.insert(address, running),
            None => all.remove(&address),
        };
    }
}

//! Last known good: every bundle, connector and key set in force, on disk and encrypted, so that a node restarts while the
//! control plane is away.
//!
//! One file each, written beside and renamed, so that a file is whole or not there. What does not check out at load is set
//! aside as `.bad`; everything else is served. Format: magic, version, nonce, AES-256-GCM with the file's name as
//! associated data.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use prost::Message;
use secrecy::SecretString;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::{seal, v1};

const MAGIC: &[u8] = b"TMLEDGER\x01";
const TENANTS: &str = "tenants";
const CONNECTORS: &str = "connectors";
const NODE: &str = "node.bin";
const CAUGHT_UP: &str = "caught-up.bin";
const REVOCATIONS: &str = "revocations.bin";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("{0} cannot be used: {1}")]
    Io(PathBuf, std::io::Error),
    #[error("the ledger's key cannot be derived")]
    Key,
}

/// The ledger of one node. Its methods read and write the disk.
#[derive(Clone)]
pub struct Ledger {
    folder: PathBuf,
    key: Arc<LessSafeKey>,
}

/// What was in the ledger.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Settings and keys.
    pub node: Option<v1::Snapshot>,
    pub connectors: Vec<v1::Connector>,
    pub bundles: Vec<v1::TenantBundle>,
    /// What was taken back before its tokens expired.
    pub revocations: Vec<v1::Revocation>,
    /// Whether it ever held everything that the control plane had.
    pub caught_up: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in a folder, which is made if need be.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, join_secret: &SecretString) -> Result<Self, LedgerError> {
        for name in [TENANTS, CONNECTORS] {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).map_err(|error| LedgerError::Io(path, error))?;
        }
        let key = seal::derive_key(join_secret, "toolmesh ledger v1").map_err(|_| LedgerError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| LedgerError::Key)?;
        Ok(Self { folder: folder.to_owned(), key: Arc::new(LessSafeKey::new(key)) })
    }

    /// Everything that checks out.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn load(&self) -> Result<Loaded, LedgerError> {
        let node = self.folder.join(NODE).exists().then(|| self.read(NODE)).flatten();
        let connectors = self.read_all(CONNECTORS, |c: &v1::Connector| toolmesh_proto::connector_hash(c))?;
        let bundles = self.read_all(TENANTS, |b: &v1::TenantBundle| b.tenant_id.clone())?;
        let revoked = self.folder.join(REVOCATIONS).exists();
        let revoked = revoked.then(|| self.read::<v1::Revocations>(REVOCATIONS)).flatten();
        let revocations = revoked.unwrap_or_default().revocations;
        let caught_up =
            self.folder.join(CAUGHT_UP).exists() && self.read::<v1::CaughtUp>(CAUGHT_UP).is_some();
        Ok(Loaded { node, connectors, bundles, revocations, caught_up })
    }

    /// Keeps settings and keys.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_node(&self, settings: &v1::NodeSettings, keys: &v1::KeySet) -> Result<(), LedgerError> {
        let node = v1::Snapshot {
            settings: Some(settings.clone()),
            keys: Some(keys.clone()),
            ..v1::Snapshot::default()
        };
        self.write(NODE, &node)
    }

    /// Keeps everything that is taken back, in place of what was kept before.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_revocations(&self, revocations: Vec<v1::Revocation>) -> Result<(), LedgerError> {
        self.write(REVOCATIONS, &v1::Revocations { sequence: 0, revocations })
    }

    /// Keeps that the ledger holds everything that the control plane had.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_caught_up(&self) -> Result<(), LedgerError> {
        self.write(CAUGHT_UP, &v1::CaughtUp {})
    }

    /// Keeps a tenant's bundle, in place of the one before. If that fails, neither is kept: what a change took away must not
    /// come back with a restart.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_bundle(&self, id: TenantId, bundle: &v1::TenantBundle) -> Result<(), LedgerError> {
        self.write(&bundle_name(id), bundle).inspect_err(|_| {
            if let Err(error) = self.remove_bundle(id) {
                tracing::error!(%error, tenant = %id, "outdated bundle stays on disk");
            }
        })
    }

    /// Keeps a connector.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_connector(&self, hash: &str, connector: &v1::Connector) -> Result<(), LedgerError> {
        self.write(&format!("{CONNECTORS}/{hash}.bin"), connector)
    }

    /// Forgets a tenant.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_bundle(&self, id: TenantId) -> Result<(), LedgerError> {
        self.remove(&bundle_name(id))
    }

    /// Forgets every tenant but those of these ids, also what was set aside or not written to its end.
    ///
    /// # Errors
    /// When the disk fails; what could be removed is.
    pub fn retain_bundles(&self, live: &HashSet<String>) -> Result<(), LedgerError> {
        let folder = self.folder.join(TENANTS);
        let failed = |error| LedgerError::Io(folder.clone(), error);
        let (mut removed, mut fault) = (false, None);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if stem.is_some_and(|stem| live.contains(stem)) {
                continue;
            }
            match std::fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(error) => fault = Some(LedgerError::Io(path, error)),
            }
        }
        if removed {
            sync_folder(&folder).map_err(failed)?;
        }
        fault.map_or(Ok(()), Err)
    }

    /// Forgets a connector.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_connector(&self, hash: &str) -> Result<(), LedgerError> {
        self.remove(&format!("{CONNECTORS}/{hash}.bin"))
    }

    fn remove(&self, name: &str) -> Result<(), LedgerError> {
        let path = self.folder.join(name);
        let remove = || match std::fs::remove_file(&path) {
            // Until the folder is on disk, a crash brings the file back.
            Ok(()) => path.parent().map_or(Ok(()), sync_folder),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        remove().map_err(|error| LedgerError::Io(path.clone(), error))
    }

    fn write(&self, name: &str, message: &impl Message) -> Result<(), LedgerError> {
        let path = self.folder.join(name);
        let beside = path.with_extension("tmp");
        let write = || -> std::io::Result<()> {
            let bytes = self.seal(name, message.encode_to_vec())?;
            let mut file = File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            // The rename itself is kept by the folder.
            path.parent().map_or(Ok(()), sync_folder)
        };
        write().map_err(|error| LedgerError::Io(path.clone(), error))
    }

    fn seal(&self, name: &str, mut bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let failed = |_| std::io::Error::other("encryption failed");
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let aad = Aad::from(name.as_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(failed)?;
        Ok([MAGIC, &nonce, &bytes].concat())
    }

    fn read_all<M: Message + Default>(
        &self,
        kind: &str,
        name_of: impl Fn(&M) -> String,
    ) -> Result<Vec<M>, LedgerError> {
        let folder = self.folder.join(kind);
        let failed = |error| LedgerError::Io(folder.clone(), error);
        let mut messages = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some(stem) = file.to_str().and_then(|name| name.strip_suffix(".bin")) else { continue };
            let name = format!("{kind}/{stem}.bin");
            match self.read::<M>(&name) {
                Some(message) if name_of(&message) == stem => messages.push(message),
                Some(_) => self.set_aside(&name),
                None => {}
            }
        }
        Ok(messages)
    }

    fn read<M: Message + Default>(&self, name: &str) -> Option<M> {
        let message =
            std::fs::read(self.folder.join(name)).ok().and_then(|bytes| self.open_sealed(name, &bytes));
        if message.is_none() {
            self.set_aside(name);
        }
        message
    }

    fn open_sealed<M: Message + Default>(&self, name: &str, bytes: &[u8]) -> Option<M> {
        let (nonce, sealed) = bytes.strip_prefix(MAGIC)?.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).ok()?;
        M::decode(&*plain).ok()
    }

    fn set_aside(&self, name: &str) {
        let path = self.folder.join(name);
        let renamed = std::fs::rename(&path, path.with_extension("bad"));
        tracing::error!(file = name, set_aside = renamed.is_ok(), "damaged ledger file");
    }
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn bundle_name(id: TenantId) -> String {
    format!("{TENANTS}/{id}.bin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn ledger(folder: &Path, secret: &str) -> Ledger {
        Ledger::open(folder, &SecretString::from(secret)).unwrap()
    }

    fn filled(folder: &Path) -> Ledger {
        let ledger = ledger(folder, "secret");
        let connector = samples::connector();
        ledger.put_connector(&toolmesh_proto::connector_hash(&connector), &connector).unwrap();
        ledger.put_bundle(samples::TENANT.parse().unwrap(), &samples::bundle()).unwrap();
        let mut second = samples::bundle();
        second.tenant_id = "01890000-0000-7000-8000-0000000000ff".into();
        ledger.put_bundle(second.tenant_id.parse().unwrap(), &second).unwrap();
        ledger
            .put_node(&v1::NodeSettings { console_origin: "http://c".into() }, &v1::KeySet::default())
            .unwrap();
        ledger
    }

    fn first_bundle(folder: &Path) -> PathBuf {
        folder.join(bundle_name(samples::TENANT.parse().unwrap()))
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_nothing_readable_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path());
        let loaded = ledger(folder.path(), "secret").load().unwrap();
        assert_eq!((loaded.bundles.len(), loaded.connectors.len()), (2, 1));
        assert_eq!(loaded.node.unwrap().settings.unwrap().console_origin, "http://c");
        let bytes = std::fs::read(first_bundle(folder.path())).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"ada"));
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_is_set_aside_and_the_rest_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = filled(folder.path());
        let path = first_bundle(folder.path());
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).step_by(37) {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            for damaged in [flipped.as_slice(), &sound[..at]] {
                std::fs::write(&path, damaged).unwrap();
                let loaded = ledger.load().unwrap();
                assert_eq!((loaded.bundles.len(), loaded.connectors.len()), (1, 1), "byte {at}");
                assert!(path.with_extension("bad").exists() && !path.exists());
            }
        }
    }

    #[test]
    fn a_file_under_another_name_or_secret_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let first = filled(folder.path());
        let other = folder.path().join(bundle_name(TenantId::new()));
        std::fs::copy(first_bundle(folder.path()), other).unwrap();
        assert_eq!(first.load().unwrap().bundles.len(), 2);
        assert_eq!(ledger(folder.path(), "another").load().unwrap().bundles.len(), 0);
    }

    #[test]
    fn only_listed_tenants_are_retained_and_no_trace_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = filled(folder.path());
        let tenants = folder.path().join(TENANTS);
        for leftover in
            ["01890000-0000-7000-8000-0000000000fe.bad", "01890000-0000-7000-8000-0000000000fe.tmp"]
        {
            std::fs::write(tenants.join(leftover), "what was there").unwrap();
        }
        ledger.retain_bundles(&HashSet::from([samples::TENANT.to_owned()])).unwrap();
        let left: Vec<_> = std::fs::read_dir(&tenants).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [first_bundle(folder.path())]);
    }

    #[test]
    fn a_removed_tenant_is_gone_and_removing_it_again_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = filled(folder.path());
        for _ in 0..2 {
            ledger.remove_bundle(samples::TENANT.parse().unwrap()).unwrap();
        }
        assert_eq!(ledger.load().unwrap().bundles.len(), 1);
    }
}

//! Files with private keys or passwords: who else may read them.

use std::path::Path;

use super::fields::Loader;

const ALLOW: &str = "ostler.allowReadableKeyFiles";

impl Loader<'_> {
    /// Whether such files may be open to every user.
    pub(super) fn key_files(&mut self) {
        self.settings.flag(ALLOW, false);
    }

    /// Refuses the file that this key names if every user of the machine can read or change it.
    /// ZooKeeper does not look.
    pub(super) fn check_key_file(&mut self, key: &'static str, path: &Path) {
        let Some(mode) = self.outside.mode_open_to_all(path) else { return };
        let path = path.display();
        let text = format!("every user of this machine can read or change {path} (mode {mode:04o})");
        if self.settings.is_on(ALLOW) {
            self.settings.note(key, text);
        } else {
            self.settings.refuse(key, format!("{text}: chmod o= {path}, or set {ALLOW}=true"));
        }
    }
}

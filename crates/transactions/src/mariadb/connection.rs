//! What a URL says about TLS, which mysql_async knows in part only.

use std::path::Path;

use mysql_async::{Opts, OptsBuilder, SslOpts};

use crate::database_tls::{DatabaseCa, take_parameters};
use crate::participant::Trouble;

/// Reads a URL. `ca` is what it trusts if it names no file, and with it TLS is wanted unless the
/// URL says otherwise.
///
/// # Errors
/// [`Trouble::Unfit`].
pub(super) fn read(url: &str, ca: Option<&DatabaseCa>) -> Result<Opts, Trouble> {
    let unfit = |why: String| Trouble::Unfit(format!("the URL of MariaDB: {why}"));
    let (rest, [named]) = take_parameters(url, ["ssl_ca"]);
    let (_, [required]) = take_parameters(url, ["require_ssl"]);
    let options = Opts::from_url(&rest).map_err(|error| unfit(error.to_string()))?;
    let is_refused = required.as_deref() == Some("false");
    if is_refused && named.is_some() {
        return Err(unfit("it has ssl_ca and require_ssl=false".to_owned()));
    }
    let named = named.map(|path| DatabaseCa::read(Path::new(&path))).transpose()?;
    let Some(ca) = named.as_ref().or(ca).filter(|_| !is_refused) else { return Ok(options) };
    let ssl = options.ssl_opts().cloned().unwrap_or_default();
    Ok(OptsBuilder::from_opts(options).ssl_opts(trusting(ssl, ca)).into())
}

fn trusting(ssl: SslOpts, ca: &DatabaseCa) -> SslOpts {
    ssl.with_root_certs(vec![ca.bytes().to_vec().into()]).with_disable_built_in_roots(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_wanted_where_a_url_says_so() {
        let wants = |url| read(url, None).unwrap().ssl_opts().is_some();
        assert!(!wants("mysql://u:p@h/d") && !wants("mysql://u:p@h/d?require_ssl=false"));
        assert!(wants("mysql://u:p@h/d?require_ssl=true"));
        for (url, says) in [
            ("mysql://h/d?ssl_ca=/does/not/exist", "/does/not/exist"),
            ("mysql://h/d?ssl_ca=/a&require_ssl=false", "ssl_ca and require_ssl=false"),
            ("postgres://h/d", "the URL of MariaDB"),
        ] {
            let Err(Trouble::Unfit(why)) = read(url, None) else { panic!("{url} is taken") };
            assert!(why.contains(says), "{why}");
        }
    }
}

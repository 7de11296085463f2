//! A wait that two of the tests share: for a condition, with a limit.

use sale::ports::Ledger;
use sale::words::Time;
use std::time::Duration;

/// How long anything here may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What the ledger's clock says when it has come to this time.
pub async fn wait_until_told(ledger: &dyn Ledger, until: Time) -> Time {
    let mut now = ledger.now().await.expect("the ledger tells the time");
    let told = async {
        while now < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
            now = ledger.now().await.expect("the ledger tells the time");
        }
    };
    tokio::time::timeout(LIMIT, told).await.unwrap_or_else(|_| panic!("waited {LIMIT:?} for the ledger's clock to say {until:?}"));
    now
}

//! What outlives the process.

use espalier_api::{claim::CreateClaim, device::DeviceView, page::Page, tuf::TufTargetsView};
use espalier_protocol::enrol::Role;

use crate::{
    device::{Device, claim},
    stack::Stack,
};

#[tokio::test(flavor = "multi_thread")]
async fn restart_keeps_token_trust_and_devices() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (token, before): (_, TufTargetsView) =
        (stack.token.clone(), stack.get("/tuf/targets").await);
    Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let folder = stack.stop().await;
    assert!(
        !folder.path().join("endpoints.json").exists(),
        "addresses of a server that is gone lead astray"
    );

    let stack = Stack::in_folder(folder).await;
    assert_eq!(stack.token, token);
    let after: TufTargetsView = stack.get("/tuf/targets").await;
    assert_eq!(
        (before.root_json, before.targets_json),
        (after.root_json, after.targets_json)
    );
    let devices: Page<DeviceView> = stack.get("/devices").await;
    assert_eq!(devices.items.len(), 1);
    stack.stop().await;
}

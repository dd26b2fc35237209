//! The console's files: what is one, and what is a page of the console's own.

use reqwest::{Response, StatusCode, header};

use crate::stack::Stack;

async fn get(stack: &Stack, path: &str) -> Response {
    let url = format!("{}{path}", stack.endpoints.api);
    stack.http.get(url).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_an_old_console_never_takes_the_start_page_for_a_script() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let page = get(&stack, "/fleet/camera-07").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str();
    assert!(policy.unwrap().contains("default-src 'self'"));
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");

    let etag = page.headers()[header::ETAG].clone();
    let again = stack
        .http
        .get(format!("{}/rollouts", stack.endpoints.api))
        .header(header::IF_NONE_MATCH, etag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    let script = get(&stack, "/assets/index-of-last-year.js").await;
    assert_eq!(script.status(), StatusCode::NOT_FOUND);
    stack.stop().await;
}

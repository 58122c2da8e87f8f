// The page is seen before its scripts are fetched and run: on two cores they would
// take turns with the first paint. A tab in the background paints nothing, and
// waits for nothing.

const start = () => import("./page.js");

if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

/** What a {@link WebServer} serves. Called by several of its threads at once; may wait. */
public interface WebHandler {
    /** Answers a request that was allowed in. */
    WebAnswer answer(WebRequest request);
}

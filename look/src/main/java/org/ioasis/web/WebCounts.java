// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

/**
 * What a {@link WebServer} has done. Immutable.
 *
 * @param connections that are open
 * @param connectionsRefused that came while as many were open as may be
 * @param requests that were read as far as their headers
 * @param requestsRefused of these: token, method, host or size were wrong
 * @param streams that are open
 * @param streamsRefused that were asked for while as many were open as may be
 * @param eventsSkipped because a client had not taken the one before
 */
public record WebCounts(
        int connections,
        long connectionsRefused,
        long requests,
        long requestsRefused,
        int streams,
        long streamsRefused,
        long eventsSkipped) {}

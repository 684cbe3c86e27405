// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;

/**
 * What a client asks for. Immutable. All of it is the client's word.
 *
 * @param method GET or POST
 * @param path begins with a slash, without the token
 * @param query behind the question mark; empty if there is none
 * @param origin the header Origin; empty if there is none
 * @param body of a POST; empty if there is none
 */
public record WebRequest(String method, String path, String query, String origin, String body) {
    /** The value of a part of the query; empty if it is not there. */
    public String parameter(String name) {
        return value(query, name);
    }

    /** The value of a field of a form in the body; empty if it is not there. */
    public String field(String name) {
        return value(body, name);
    }

    private static String value(String form, String name) {
        for (String part : form.split("&", -1)) {
            if (part.startsWith(name + "=")) {
                try {
                    return URLDecoder.decode(
                            part.substring(name.length() + 1), StandardCharsets.UTF_8);
                } catch (IllegalArgumentException e) {
                    return "";
                }
            }
        }
        return "";
    }
}

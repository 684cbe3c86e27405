// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/** How a look-up ended. */
public enum IoasidFind {
    /** The getter has the private data. */
    FOUND,
    /** The id is there and its private data is not, yet. */
    NOT_YET,
    /** The getter did not want it. */
    REFUSED,
    /** No such id, or it is freed: ENOENT. */
    MISSING,
    /** The id is another set's: EACCES. */
    OTHER_SET
}

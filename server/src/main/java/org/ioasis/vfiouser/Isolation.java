// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

/** How a device server reaches the guest's memory. */
public enum Isolation {
    /**
     * It has no descriptor of it: each access is a message, which is translated, checked and done.
     */
    ENFORCED,
    /**
     * It has the file of what is mapped, for as long as that is: for one that is trusted not to
     * look beside it, nor to keep it.
     */
    MAPPED
}

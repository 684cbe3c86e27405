// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** Why an entry of an invalidation is refused. Any thread. */
public enum InvalidationRefusal {
    UNSUPPORTED(Errno.EOPNOTSUPP, "nothing of this object is invalidated by entries"),
    TYPE(Errno.EINVAL, "the entries are of another type"),
    NONE(Errno.EINVAL, "there are no entries"),
    SHORT(Errno.EINVAL, "the entries are shorter than their type"),
    TAIL(Errno.E2BIG, "what stands behind the known part of the entry is not zero"),
    UNREADABLE(Errno.EFAULT, "the entry cannot be read"),
    FLAG(Errno.EOPNOTSUPP, "a flag that is not known, or a reserved field, is set"),
    VALUE(Errno.EINVAL, "the entry has a value that its type does not have"),
    ALIGNMENT(Errno.EINVAL, "the range does not begin with a page"),
    RANGE(Errno.ERANGE, "the range goes past the last address"),
    COMMAND(Errno.EIO, "a guest may not have this command carried out"),
    DEVICE(Errno.EIO, "the guest has no device of this name"),
    NO_DEVICE(Errno.EINVAL, "the guest has no device of this name");

    private final Errno errno;
    private final String rule;

    InvalidationRefusal(Errno errno, String rule) {
        this.errno = errno;
        this.rule = rule;
    }

    public Errno errno() {
        return errno;
    }

    /** For people. */
    String rule() {
        return rule;
    }
}

// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * What has an id in a context. It is reserved first, then built, and found by others only when all
 * of the call that makes it has succeeded. Under its context's lock, but for the id.
 */
public abstract sealed class IommufdObject
        permits Ioas,
                Hwpt,
                Device,
                Access,
                FaultQueue,
                Viommu,
                Vdevice,
                Veventq,
                HwQueue,
                DriverObject {
    /** Kinds, as a look-up asks for them. */
    enum State {
        /** Has an id; nobody finds it. */
        RESERVED,
        LIVE,
        /** Gone. */
        DEAD
    }

    private final IommufdContext context;
    private int id;
    private int users = 1;
    private volatile State state = State.RESERVED;

    IommufdObject(IommufdContext context) {
        this.context = context;
    }

    final IommufdContext context() {
        return context;
    }

    /** From 1 on; never that of another object as long as this one is there. */
    public final int id() {
        return id;
    }

    final void id(int given) {
        id = given;
    }

    final State state() {
        return state;
    }

    final void state(State next) {
        state = next;
    }

    /** Who needs it, and the context: 1 says that it may be destroyed. */
    final int users() {
        return users;
    }

    final void addUser() {
        users++;
    }

    final void removeUser() {
        if (--users < 1) {
            throw new IllegalStateException("object " + id + " has lost a user it never had");
        }
    }

    /** Called before it is looked at whether somebody needs it. */
    void preDestroy() {}

    /** Gives back all that it has; also of one that was not built to its end. */
    abstract void destroy();
}

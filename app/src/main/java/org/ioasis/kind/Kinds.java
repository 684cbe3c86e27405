// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind;

import java.util.List;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.kind.ioat.IoatKind;
import org.ioasis.kind.jar.JarKind;
import org.ioasis.kind.net.NetKind;
import org.ioasis.kind.proxy.ProxyKind;
import org.ioasis.kind.rng.RngKind;
import org.ioasis.machine.DeviceKind;

/** The kinds that there are: a new one is a package of its own and a line here. Any thread. */
public final class Kinds {
    /** In the order of help and of a machine's functions. */
    public static final List<DeviceKind> ALL =
            List.of(
                    new BlkKind(),
                    new RngKind(),
                    new NetKind(),
                    new IoatKind(),
                    new ProxyKind(),
                    new JarKind());

    private Kinds() {}
}

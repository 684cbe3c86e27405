// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.lang.reflect.Proxy;
import java.util.function.IntConsumer;

/**
 * What a signal makes this process do. Called on the main thread; signals come on the JVM's own.
 *
 * <p>Java's way to hear of signals is in a package that the compiler warns of whoever names it, so
 * it is used by reflection.
 */
final class SignalHandlers {
    private final Class<?> signal;
    private final Class<?> handler;

    SignalHandlers() {
        try {
            signal = Class.forName("sun.misc.Signal");
            handler = Class.forName("sun.misc.SignalHandler");
        } catch (ClassNotFoundException e) {
            throw missing(e);
        }
    }

    /** The number of a signal, as HUP. */
    int number(String name) {
        try {
            return (int) signal.getMethod("getNumber").invoke(named(name));
        } catch (ReflectiveOperationException e) {
            throw missing(e);
        }
    }

    /** From now on the signal does what {@code action} does, which is told its number. */
    void handle(String name, IntConsumer action) {
        int number = number(name);
        Object handles =
                Proxy.newProxyInstance(
                        handler.getClassLoader(),
                        new Class<?>[] {handler},
                        (_, method, _) -> {
                            if (method.getName().equals("handle")) {
                                action.accept(number);
                            }
                            return null;
                        });
        try {
            signal.getMethod("handle", signal, handler).invoke(null, named(name), handles);
        } catch (ReflectiveOperationException e) {
            throw missing(e);
        }
    }

    private Object named(String name) throws ReflectiveOperationException {
        return signal.getConstructor(String.class).newInstance(name);
    }

    private static IllegalStateException missing(ReflectiveOperationException e) {
        return new IllegalStateException("this JDK has no sun.misc.Signal", e);
    }
}

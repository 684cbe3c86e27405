// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.util.concurrent.Callable;

/**
 * A command that another module brings: {@link Main} finds it as a service and treats it as its
 * own. It has picocli's annotations, and throws what {@link Main} knows how to say. Main thread.
 */
public interface Subcommand extends Callable<Integer> {}
